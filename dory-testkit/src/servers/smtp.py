"""A mail server that keeps what it takes, and refuses when it is told to.

    smtp.py HOST MODE [CERTIFICATE KEY]     it listens on HOST; MODE is plain, starttls or tls

It prints its port, writes each letter it takes as a line of JSON to `letters`, and refuses all of them with the reply in
the file `refusal`, where there is one. With TLS it wants a login: ada, hunter2.
"""

import asyncio
import email
import json
import ssl
import sys
from email import policy
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult


class Keeper:
    async def handle_DATA(self, server, session, envelope):
        refusal = Path("refusal")
        if refusal.exists():
            return refusal.read_text()
        letter = email.message_from_bytes(envelope.content, policy=policy.default)
        part = lambda kind: letter.get_body((kind,))
        text = lambda body: body and body.get_content().replace("\r\n", "\n")
        kept = {
            "message_id": letter["Message-ID"],
            "severity": letter["X-Dory-Severity"],
            "subject": letter["Subject"],
            "from": letter["From"],
            "to": letter["To"],
            "recipients": envelope.rcpt_tos,
            "text": text(part("plain")),
            "html": text(part("html")),
            "kind": letter.get_content_type(),
            "tls": server.transport.get_extra_info("sslcontext") is not None,
            "user": session.auth_data and session.auth_data.login.decode(),
            "hello": session.host_name,
            "peer": session.peer[0],
        }
        with open("letters", "a") as letters:
            letters.write(json.dumps(kept) + "\n")
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    if (data.login, data.password) == (b"ada", b"hunter2"):
        return AuthResult(success=True, auth_data=data)
    return AuthResult(success=False, handled=False)


async def serve(host, mode, *files):
    settings = {"hostname": "localhost"}
    context = None
    if mode != "plain":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*files)
        settings |= {"authenticator": authenticate, "auth_required": True}
    if mode == "starttls":
        settings |= {"tls_context": context, "require_starttls": True}
    if mode == "tls":
        # To the protocol, a connection that was TLS from the start looks like one without.
        settings |= {"auth_require_tls": False}
    loop = asyncio.get_running_loop()
    protocol = lambda: SMTP(Keeper(), loop=loop, **settings)
    server = await loop.create_server(protocol, host, 0, ssl=context if mode == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The test that started it holds the other end.
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(serve(*sys.argv[1:]))
