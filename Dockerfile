# Dory and duplicity. Built by scripts/image.sh, which brings the context: the dory binary and duplicity's wheel.
ARG BASE=debian:trixie-slim
FROM ${BASE}

RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates gpg gpg-agent python3 python3-boto3 python3-fasteners rclone \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*

# A wheel is a zip file; pip and the hundred packages it would bring for other clouds stay out.
COPY duplicity.whl /tmp/duplicity.whl
RUN python3 -m zipfile -e /tmp/duplicity.whl /usr/lib/python3/dist-packages \
    && rm /tmp/duplicity.whl \
    && printf '#!/usr/bin/python3\nimport sys\nfrom duplicity.__main__ import dup_run\nsys.exit(dup_run())\n' >/usr/local/bin/duplicity \
    && chmod 755 /usr/local/bin/duplicity \
    && mkdir -p /backup /store

COPY dory /usr/local/bin/dory
# Helpers run /dory, whatever image they are made from.
RUN chmod 755 /usr/local/bin/dory && ln -s /usr/local/bin/dory /dory

LABEL org.opencontainers.image.title=dory org.opencontainers.image.licenses="MIT OR Apache-2.0"
ENTRYPOINT ["/usr/local/bin/dory"]
CMD ["--help"]
