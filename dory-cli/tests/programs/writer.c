// Writes to /data all the time, in every way there is: by pages of a mapping, in place, at the end, by new files that
// take old names. Told to end, it writes down what the files hold. `writer verify` tells whether they still do.
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 48 << 20, HEAP = 32 << 20, PAGE = 8192, LOG = 4 << 20, STATES = 8, SMALL = 200 };

static volatile sig_atomic_t ending;
static uint64_t state = 88172645463325252u;

static void end(int signal) { (void)signal; ending = 1; }

static uint64_t any(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

static void fail(const char *what) { perror(what); exit(2); }

// One line a file: its name, size and a hash.
static void describe(FILE *out, const char *path) {
    int file = open(path, O_RDONLY);
    if (file < 0) { fprintf(out, "%s is not there\n", path); return; }
    static unsigned char buffer[1 << 16];
    uint64_t hash = 14695981039346656037u, size = 0;
    for (ssize_t count; (count = read(file, buffer, sizeof buffer)) > 0; size += count)
        for (ssize_t at = 0; at < count; at++) hash = (hash ^ buffer[at]) * 1099511628211u;
    close(file);
    fprintf(out, "%s %llu %016llx\n", path, (unsigned long long)size, (unsigned long long)hash);
}

static void describe_all(FILE *out) {
    char path[64];
    describe(out, "/data/pages"), describe(out, "/data/heap"), describe(out, "/data/log");
    for (int at = 0; at < STATES; at++) snprintf(path, sizeof path, "/data/state-%d", at), describe(out, path);
    for (int at = 0; at < SMALL; at++) snprintf(path, sizeof path, "/data/small/%d", at), describe(out, path);
    fflush(out);
}

static int verify(void) {
    static char before[1 << 16];
    char *now = NULL;
    size_t size = 0;
    FILE *checksum = fopen("/data/checksum", "r"), *fresh = open_memstream(&now, &size);
    if (!checksum || !fresh) { puts("there is no checksum"); return 1; }
    describe_all(fresh);
    size_t length = fread(before, 1, sizeof before - 1, checksum);
    int same = length == size && !memcmp(before, now, length);
    printf("%s\nwritten down:\n%s\nnow:\n%s\n", same ? "SAME" : "DIFFERENT", before, now);
    return !same;
}

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "verify")) return verify();
    struct sigaction action = { .sa_handler = end };
    sigaction(SIGTERM, &action, NULL);
    unlink("/data/checksum");
    mkdir("/data/small", 0755);
    state ^= (uint64_t)getpid() << 32 ^ (uint64_t)time(NULL);

    int pages = open("/data/pages", O_RDWR | O_CREAT, 0644), heap = open("/data/heap", O_RDWR | O_CREAT, 0644);
    int log = open("/data/log", O_RDWR | O_CREAT | O_APPEND, 0644);
    if (pages < 0 || heap < 0 || log < 0 || ftruncate(pages, PAGES) || ftruncate(heap, HEAP)) fail("prepare");
    unsigned char *mapped = mmap(NULL, PAGES, PROT_READ | PROT_WRITE, MAP_SHARED, pages, 0);
    if (mapped == MAP_FAILED) fail("map");
    static unsigned char page[PAGE];
    for (uint64_t turn = 0; !ending; turn++) {
        mapped[any() % PAGES] = (unsigned char)any();
        // The same few pages over and over: they stay dirty, and their file's times need not move on.
        mapped[any() % (16 * 4096)]++;
        memset(page, (int)any(), sizeof page);
        if (pwrite(heap, page, PAGE, (off_t)(any() % (HEAP / PAGE)) * PAGE) != PAGE) fail("write a page");
        if (write(log, page, any() % 512) < 0 || (turn % 20000 == 0 && ftruncate(log, 0))) fail("append");
        if (turn % 50 == 0) {
            char path[64];
            snprintf(path, sizeof path, turn % 100 ? "/data/state-%d" : "/data/small/%d", (int)(any() % (turn % 100 ? STATES : SMALL)));
            int next = open("/data/next", O_WRONLY | O_CREAT | O_TRUNC, 0600);
            if (next < 0 || write(next, page, any() % PAGE) < 0 || close(next) || rename("/data/next", path)) fail("replace");
            if (turn % 1000 == 0) snprintf(path, sizeof path, "/data/small/%d", (int)(any() % SMALL)), unlink(path);
        }
        if (turn % 10 == 0) usleep(500);
    }
    FILE *checksum = fopen("/data/checksum", "w");
    if (!checksum) fail("write down");
    describe_all(checksum);
    return fclose(checksum) != 0;
}
