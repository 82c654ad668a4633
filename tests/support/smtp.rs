//! Real mail servers: aiosmtpd, an independent implementation whose Python also takes the messages
//! apart; and a small stub for what no decent server does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

/// A message as aiosmtpd took it and Python's `email` package reads it.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub headers: Vec<(String, String)>,
    pub text: String,
    pub html: String,
    /// What Python's parser finds wrong with it.
    pub defects: Vec<String>,
    /// Whether it came over TLS, and who had logged in.
    pub tls: bool,
    pub user: Option<String>,
}

impl Mail {
    /// Every value of a header, decoded.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let same = |n: &str| n.eq_ignore_ascii_case(name);
        self.headers.iter().filter(|(n, _)| same(n)).map(|(_, value)| value.as_str()).collect()
    }
}

/// How the server is to be.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// Certificate chain and key in PEM: offers STARTTLS and demands it.
    pub tls: Option<(&'a Path, &'a Path)>,
    /// Demands this user and password.
    pub login: Option<(&'a str, &'a str)>,
}

/// aiosmtpd. A recipient `refused…@` is answered with 550; one `later…@` with 451 at its first try.
pub struct Aiosmtpd {
    process: Child,
    pub port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl Aiosmtpd {
    pub fn start(options: &Options<'_>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/smtp.py");
        let mut command = Command::new(super::python::python());
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some((certificates, key)) = options.tls {
            command.arg("--certificates").arg(certificates).arg("--key").arg(key);
        }
        if let Some((user, password)) = options.login {
            command.args(["--user", user, "--password", password]);
        }
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let mails: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let received = Arc::clone(&mails);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                received.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, port, mails }
    }

    /// Waits until `count` messages are in (aiosmtpd tells of a message after it said 250).
    pub fn wait_for(&self, count: usize) -> Vec<Mail> {
        super::eventually(Duration::from_secs(10), || {
            let mails = self.mails();
            if mails.len() >= count { Ok(mails) } else { Err(format!("{} mails", mails.len())) }
        })
    }

    /// Every message so far, in order.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }
}

impl Drop for Aiosmtpd {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What the stub does when the whole message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterData {
    /// 250.
    Accept,
    /// Takes it and hangs up without a word: whether it arrived is unknown to the sender.
    HangUp,
    /// Takes it and says nothing.
    Silence,
}

/// A mail server that does as it is told, one item of the script per message.
pub struct Stub {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    pub fn start(script: &[AfterData]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let messages: Arc<Mutex<Vec<String>>> = Arc::default();
        let keeps = Arc::clone(&messages);
        let script = script.to_vec();
        thread::spawn(move || {
            for (stream, then) in listener.incoming().zip(script) {
                // A client that goes away ends the conversation, nothing more.
                let _over = converse(stream.unwrap(), then, &keeps);
            }
        });
        Self { address, messages }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every message that came whole, headers and body as they were sent.
    pub fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }
}

fn converse(
    mut stream: TcpStream,
    then: AfterData,
    messages: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    stream.write_all(b"220 stub ESMTP\r\n")?;
    while let Some(line) = lines.next().transpose()? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => stream.write_all(b"250-stub\r\n250 8BITMIME\r\n")?,
            "QUIT" => return stream.write_all(b"221 bye\r\n"),
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let mut message = String::new();
                for line in lines.by_ref() {
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    message.push_str(&line);
                    message.push('\n');
                }
                messages.lock().unwrap().push(message);
                match then {
                    AfterData::Accept => stream.write_all(b"250 taken\r\n")?,
                    AfterData::HangUp => return Ok(()),
                    // Ends when the client hangs up.
                    AfterData::Silence => return lines.next().transpose().map(drop),
                }
            }
            _ => stream.write_all(b"250 fine\r\n")?,
        }
    }
    Ok(())
}
