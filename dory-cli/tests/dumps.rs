//! Dumps of real servers: taken while they run, loaded while they run, and undone.

use std::process::Command;
use std::time::{Duration, Instant};

use dory_testkit::live::{docker, or_skip};

use crate::bench::{Bench, Ran};

/// PostgreSQL, MariaDB and Redis from Debian's packages: `scripts/servers/image.sh` makes it.
const IMAGE: &str = "dory-live-servers";

/// One of the servers, in a container that goes with the bench.
struct Server {
    bench: Bench,
    name: String,
    /// A client's command in the container: statements go to its standard input.
    client: Vec<String>,
}

impl Server {
    /// Runs one and waits until it answers; `None` where there is no engine or no image.
    fn start(word: &str, options: &[&str], client: &[&str], question: &str) -> Option<Self> {
        let bench = Bench::start()?;
        let there = Command::new("docker").args(["image", "inspect", IMAGE]).output().unwrap().status.success();
        or_skip("servers", there.then_some(()))?;
        let name = format!("{}-{word}", bench.name);
        let label = format!("dory.dump={word}");
        docker(&[&["run", "-d", "--name", &name, "--label", &label], options, &[IMAGE, word]].concat());
        let client = client.iter().map(|word| (*word).to_owned()).collect();
        let server = Self { bench, name, client };
        let end = Instant::now() + Duration::from_secs(90);
        while server.try_ask(question).is_none() {
            assert!(Instant::now() < end, "it never answered: {}", docker(&["logs", &server.name]));
            std::thread::sleep(Duration::from_millis(300));
        }
        Some(server)
    }

    fn try_ask(&self, statements: &str) -> Option<String> {
        use std::io::Write;
        let mut command = Command::new("docker");
        command.args(["exec", "-i", &self.name]).args(&self.client);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        // A client that ended at once does not read.
        let _ = child.stdin.take().unwrap().write_all(statements.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = !output.status.success() || text.contains("NOAUTH");
        (!failed).then_some(text)
    }

    fn ask(&self, statements: &str) -> String {
        self.try_ask(statements).expect("the server answers")
    }

    fn started(&self) -> String {
        docker(&["inspect", "-f", "{{.State.StartedAt}}", &self.name])
    }

    /// Backs up, changes the data, loads the dump, and undoes that: each time all is as it was.
    fn comes_back(&self, state: &str, change: &str, file: &str) {
        let (bench, name) = (&self.bench, self.name.as_str());
        let before = self.ask(state);
        bench.dory(&["backup", name]).succeeded();
        assert!(self.ready(state) == before, "a backup changes nothing");
        assert!(bench.dory(&["show", name]).succeeded().stdout.contains(file));
        assert!(bench.dory(&["ls", name]).succeeded().stdout.contains(&format!("dumps/{file}")));
        assert!(!bench.dory(&["cat", name, &format!("dumps/{file}")]).succeeded().stdout.is_empty());

        self.ask(change);
        let changed = self.ask(state);
        assert_ne!(changed, before);
        let started = self.started();
        let ran = bench.dory(&["restore", name, "--dump", "--yes"]).succeeded();
        assert_eq!(self.ask(state), before, "{ran:#?}");
        bench.dory(&undo(&ran).iter().map(String::as_str).collect::<Vec<_>>()).succeeded();
        assert_eq!(self.ask(state), changed);
        assert_eq!(self.started(), started, "something was stopped");
    }

    /// The answer, once the server that was stopped for its backup gives one.
    fn ready(&self, question: &str) -> String {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(answer) = self.try_ask(question) {
                return answer;
            }
            assert!(Instant::now() < end, "it never answered");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// The command that a restore printed for its undoing.
fn undo(ran: &Ran) -> Vec<String> {
    let line = ran.stdout.lines().find_map(|line| line.strip_prefix("to undo: dory ")).expect("it says how to undo");
    line.split(' ').chain(["--yes"]).map(str::to_owned).collect()
}

#[test]
fn postgresql_comes_back_with_roles_and_databases() {
    let environment = ["-e", "POSTGRES_USER=admin", "-e", "POSTGRES_PASSWORD=se$c\"r et", "--stop-signal", "SIGINT"];
    let client = ["sh", "-c", "PGPASSWORD=$POSTGRES_PASSWORD exec psql -XqAt -v ON_ERROR_STOP=1 -U admin -d postgres"];
    let Some(server) = Server::start("postgres", &environment, &client, "select 1;") else { return };
    server.ask(
        "create role app login password 'x'; create database shop owner app; create database \"a = b; c\";\n\
         \\connect shop\n\
         create table accounts(id int primary key, name text);\n\
         insert into accounts select n, 'CREATE ROLE admin;' from generate_series(1, 1000) n;\n\
         create table gone(x int); grant select on accounts to app;",
    );
    let state = "select rolname, rolcanlogin from pg_roles where rolname !~ '^pg_' order by 1;\n\
                 select datname, datdba::regrole from pg_database order by 1;\n\
                 \\connect shop\n\
                 select count(*), md5(string_agg(name, ',' order by id)) from accounts;\n\
                 select relname, relacl from pg_class where relnamespace = 'public'::regnamespace order by 1;";
    let change = "alter role app nologin;\n\\connect shop\n\
                  drop table gone; create table extra(x int); delete from accounts where id > 5;";
    // Somebody who is connected must not keep the database from being replaced.
    let name = server.name.clone();
    let sleeper = "PGPASSWORD=$POSTGRES_PASSWORD psql -Xq -U admin -d shop -c 'select pg_sleep(600)'";
    let session = std::thread::spawn(move || {
        while Command::new("docker").args(["exec", &name, "sh", "-c", sleeper]).output().is_ok_and(|ran| {
            // Until the container goes: a pool connects again.
            !String::from_utf8_lossy(&ran.stderr).contains("No such container")
        }) {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    server.comes_back(state, change, "postgres.sql");
    drop(server);
    session.join().unwrap();
}

#[test]
fn mariadb_comes_back_with_routines_and_accounts() {
    let environment = ["-e", "MARIADB_ROOT_PASSWORD=se$cret"];
    let client = ["sh", "-c", "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -uroot -NB"];
    let Some(server) = Server::start("mariadb", &environment, &client, "select 1") else { return };
    server.ask(
        "create database shop; create database `odd name`; use shop;\n\
         create table accounts(id int primary key, name varchar(100), raw blob) engine=innodb;\n\
         insert into accounts values (1, 'é \"q\"', x'00ff27'), (2, 'x', null);\n\
         create table gone(x int); create procedure p() select 1;\n\
         create trigger t before insert on accounts for each row set new.name = upper(new.name);\n\
         create event e on schedule every 1 hour do select 1;\n\
         create user app@'10.%' identified by 'pw'; grant select on shop.* to app@'10.%';",
    );
    let state = "show databases; use shop; select id, name, hex(raw) from accounts; show tables;\n\
                 select routine_name from information_schema.routines where routine_schema = 'shop';\n\
                 select trigger_name from information_schema.triggers where trigger_schema = 'shop';\n\
                 select event_name from information_schema.events where event_schema = 'shop';\n\
                 show grants for app@'10.%';";
    let change = "use shop; drop table gone; create table extra(x int); delete from accounts; drop procedure p;\n\
                  drop trigger t; drop event e; revoke select on shop.* from app@'10.%';\n\
                  grant insert on shop.* to app@'10.%';";
    server.comes_back(state, change, "mariadb.sql");
}

#[test]
fn redis_comes_back_without_a_volume_and_without_a_restart() {
    let environment = ["-e", "REDIS_PASSWORD=se$cr\"et x"];
    let client = ["sh", "-c", "REDISCLI_AUTH=$REDIS_PASSWORD exec redis-cli"];
    let Some(server) = Server::start("redis", &environment, &client, "PING") else { return };
    let keys: String = (1..500).map(|number| format!("SET key{number} value{number}\n")).collect();
    server.ask(&format!("{keys}RPUSH list a b c\n"));
    let state = "DBSIZE\nGET key77\nLRANGE list 0 -1\nEXISTS other\nROLE\n";
    // What a replica counts is of no matter.
    let started = server.started();
    let state = &state.replace("ROLE\n", "CONFIG GET masterauth\n");
    server.comes_back(state, "FLUSHALL\nSET other x\n", "redis.rdb");
    assert_eq!(server.started(), started, "a container with nothing but a dump is never stopped");
    assert!(server.ask("ROLE\n").starts_with("master"));
    // What rewrites the server's own files meanwhile is a process of that name, too, and ends soon.
    let end = Instant::now() + Duration::from_secs(20);
    let servers = || {
        let all = docker(&["exec", &server.name, "sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null; true"]);
        // The container's first process may leave it to nobody to hear of an orphan's end.
        all.lines().filter(|line| line.contains("(redis-server)") && !line.contains(") Z ")).count()
    };
    while servers() > 1 {
        assert!(Instant::now() < end, "a private server was left behind");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_dump_that_fails_stops_nothing_and_is_nowhere() {
    let Some(bench) = Bench::start() else { return };
    bench.sh("echo one > /data/file");
    let app = format!("{}-app", bench.name);
    let volume = format!("{}:/data", bench.name);
    let failing = "dory.dump=dd if=/dev/zero bs=1M count=20; echo 'disk on fire' >&2; exit 9";
    bench.run_container(&app, &["-v", &volume, "--label", failing]);
    let before = bench.started_at();
    bench.dory(&["backup", &app]).was_refused(13, &["ended with code 9", "disk on fire", "--no-dump"]);
    assert_eq!(bench.started_at(), before, "something was stopped");
    assert!(bench.json(&["show", &app])["points"].as_array().unwrap().is_empty());
    bench.dory(&["backup", &app, "--no-dump"]).succeeded();
    bench.dory(&["edit", &app, "--dump-on-error", "continue"]).succeeded();
    let ran = bench.dory(&["backup", &app]).was_refused(3, &["could not be dumped"]);
    assert!(ran.stdout.contains("INCOMPLETE"), "{ran:#?}");
}

#[test]
fn a_long_dump_goes_through_and_comes_back_byte_for_byte() {
    let Some(bench) = Bench::start() else { return };
    bench.sh("dd if=/dev/urandom of=/data/noise bs=1M count=8 2>/dev/null");
    let app = format!("{}-app", bench.name);
    let volume = format!("{}:/data", bench.name);
    let all =
        "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do echo $n; cat /data/noise; done";
    let dump = format!("dory.dump={all}");
    let load = "dory.dump.restore=/bin/busybox md5sum > /data/loaded";
    bench.run_container(&app, &["-v", &volume, "--label", &dump, "--label", load]);
    let report = bench.json(&["backup", &app]);
    let bytes = report[0]["point"]["dumps"][0]["bytes"].as_u64().unwrap();
    assert!(bytes > 200 << 20, "{report}");
    bench.dory(&["restore", &app, "--dump", "dump", "--no-safety", "--yes"]).succeeded();
    assert_eq!(bench.sh("cat /data/loaded"), bench.sh(&format!("({all}) | /bin/busybox md5sum")));
}
