//! An HTTP/1.1 server on a real socket that does what a script says, however rude: for doubles of
//! systems that are not to be had. It serves with threads, so that it needs no runtime of the test's.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it was on the wire.
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body, gzip undone if the header says so.
    pub fn decoded(&self) -> Result<Vec<u8>, String> {
        match self.header("content-encoding") {
            None => Ok(self.body.clone()),
            Some("gzip") => {
                let mut decoded = Vec::new();
                flate2::read::GzDecoder::new(self.body.as_slice())
                    .read_to_end(&mut decoded)
                    .map_err(|error| format!("not gzip: {error}"))?;
                Ok(decoded)
            }
            Some(other) => Err(format!("unknown encoding {other}")),
        }
    }
}

/// What the server does with one request.
#[derive(Debug, Clone)]
pub enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Answers, but only after a while.
    Late(Duration, Box<Reply>),
    /// Closes the connection when only the head has been read: the client sees a reset.
    HangUpBeforeBody,
    /// Reads everything and closes the connection without a word.
    HangUpAfterBody,
    /// Reads everything and says nothing until the client gives up.
    Silence,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: String::new() }
    }

    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    #[must_use]
    pub fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Answer { status, mut headers, body } => {
                headers.push((name, value.into()));
                Self::Answer { status, headers, body }
            }
            other => other,
        }
    }
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

struct Shared {
    answer: Box<Answer>,
    script: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
    closing: AtomicBool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// The server; it stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Answers with `answer` whatever the script does not answer.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answer)
    }

    /// The same at a given address: for a system that was down and comes up.
    pub fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::launch(address, Box::new(answer), None)
    }

    /// The same over TLS.
    pub fn start_tls(
        config: rustls::ServerConfig,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        Self::launch(address, Box::new(answer), Some(Arc::new(config)))
    }

    fn launch(
        address: SocketAddr,
        answer: Box<Answer>,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer,
            script: Mutex::default(),
            requests: Mutex::default(),
            closing: AtomicBool::new(false),
            tls,
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.closing.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// `http://127.0.0.1:port`, or with TLS `https://localhost:port`.
    pub fn url(&self) -> String {
        match self.shared.tls {
            None => format!("http://{}", self.address),
            Some(_) => format!("https://localhost:{}", self.address.port()),
        }
    }

    /// Appends to what the next requests get, in order of their arrival.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.script.lock().unwrap().extend(replies);
    }

    /// Every request whose body was read, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; if that fails it is gone already.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        // A client that goes away ends the conversation, nothing more.
        let _over = match &self.tls {
            None => self.converse(stream),
            Some(config) => rustls::ServerConnection::new(Arc::clone(config))
                .map_err(std::io::Error::other)
                .and_then(|tls| self.converse(rustls::StreamOwned::new(tls, stream))),
        };
    }

    fn converse(&self, stream: impl Read + Write) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(mut request) = read_head(&mut stream)? {
            let scripted = self.script.lock().unwrap().pop_front();
            if let Some(Reply::HangUpBeforeBody) = scripted {
                return Ok(());
            }
            let length = request.header("content-length").and_then(|l| l.parse().ok());
            request.body.resize(length.unwrap_or(0), 0);
            stream.read_exact(&mut request.body)?;
            self.requests.lock().unwrap().push(request.clone());
            let mut reply = scripted.unwrap_or_else(|| (self.answer)(&request));
            while let Reply::Late(wait, then) = reply {
                thread::sleep(wait);
                reply = *then;
            }
            let Reply::Answer { status, headers, body } = reply else {
                if let Reply::Silence = reply {
                    // Ends when the client hangs up.
                    stream.read_to_end(&mut Vec::new())?;
                }
                return Ok(());
            };
            let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
            for (name, value) in headers {
                head = format!("{head}{name}: {value}\r\n");
            }
            if status != 204 {
                head = format!("{head}content-length: {}\r\n", body.len());
            }
            let stream = stream.get_mut();
            stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
            stream.flush()?;
        }
        Ok(())
    }
}

/// `None` when the client has hung up between requests.
fn read_head(stream: &mut BufReader<impl Read>) -> std::io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut words = lines.first().map(String::as_str).unwrap_or_default().split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, path) = (word(), word());
    let headers = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Some(Request { method, path, headers, body: Vec::new() }))
}
