"""aiosmtpd on a free port of this machine: prints the port, then every message as one line of JSON.

A recipient `refused...@` is answered with 550, one `later...@` with 451 at its first try. It ends
with the process that started it.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Handler:
    def __init__(self):
        self.put_off = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("later") and address not in self.put_off:
            self.put_off.add(address)
            return "451 4.7.1 greylisted, try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)

        def part(kind):
            found = message.get_body(preferencelist=(kind,))
            return found.get_content().replace("\r\n", "\n") if found else ""

        defects = [str(defect) for piece in message.walk() for defect in piece.defects]
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "headers": [[name, str(value)] for name, value in message.items()],
                    "text": part("plain"),
                    "html": part("html"),
                    "defects": defects,
                    "tls": session.ssl is not None,
                    "user": getattr(session, "user", None),
                }
            ),
            flush=True,
        )
        return "250 OK"


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificates")
    parser.add_argument("--key")
    parser.add_argument("--user")
    parser.add_argument("--password")
    arguments = parser.parse_args()

    context = None
    if arguments.certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificates, arguments.key)

    def authenticate(server, session, envelope, mechanism, data):
        good = (
            isinstance(data, LoginPassword)
            and data.login.decode() == arguments.user
            and data.password.decode() == arguments.password
        )
        if good:
            session.user = arguments.user
        return AuthResult(success=good, handled=False)

    handler = Handler()
    options = {"hostname": "localhost"}
    if context:
        options |= {"tls_context": context, "require_starttls": True}
    if arguments.user:
        options |= {
            "authenticator": authenticate,
            "auth_required": True,
            "auth_require_tls": context is not None,
        }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, **options), host="127.0.0.1", port=0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    # The starter holds the other end of our input and never writes: its end is the signal to go.
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
