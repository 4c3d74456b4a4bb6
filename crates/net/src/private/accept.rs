use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use pegasus_protocol::private::{Hello, HelloReply, ServiceKind};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::warn;

use super::handshake::{Identity, read_message, write_message};
use super::transport::{ServerTransport, transport};
use crate::limits::ConnectionPermit;
use crate::listen::tune_private;
use crate::{Limits, NetError};

type Service = Rc<dyn Fn(Accepted) -> LocalBoxFuture<'static, ()>>;

/// The private door of a daemon: which services it offers to other daemons.
#[derive(Clone)]
pub struct PrivateAcceptor {
    identity: Identity,
    services: Vec<(ServiceKind, Service)>,
}

impl PrivateAcceptor {
    /// A door behind which there is nothing yet.
    pub fn new(identity: Identity) -> PrivateAcceptor {
        PrivateAcceptor { identity, services: Vec::new() }
    }

    /// Offer a service. `serve` runs in the connection's task until the connection ends; at
    /// shutdown it is dropped. To serve it on another thread see [`Accepted::detach`].
    #[must_use]
    pub fn on<F, Fut>(mut self, service: ServiceKind, serve: F) -> PrivateAcceptor
    where
        F: Fn(Accepted) -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        self.services.push((service, Rc::new(move |accepted| Box::pin(serve(accepted)))));
        self
    }

    /// Serve a connection whose preamble was read.
    pub(crate) async fn serve(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        permit: ConnectionPermit,
        limits: &Limits,
    ) {
        tune_private(&stream);
        let greeted = timeout(limits.handshake_timeout, self.greet(&mut stream)).await;
        let (hello, version, service) = match greeted {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(e)) => return warn!(%peer, "private connection closed: {e}"),
            Err(_) => return warn!(%peer, "private connection closed: no handshake in time"),
        };
        service(Accepted { hello, version, peer, stream, permit }).await;
    }

    async fn greet(&self, stream: &mut TcpStream) -> Result<(Hello, u16, Service), NetError> {
        let hello = match read_message::<Hello>(stream).await {
            Ok(hello) => hello,
            Err(e) => {
                let reply = HelloReply::Refused { reason: e.to_string() };
                // The reason that counts is the one at hand.
                let _ = write_message(stream, &[], &reply).await;
                return Err(e);
            }
        };
        let offered = self.services.iter().find(|(kind, _)| *kind == hello.service);
        let agreed = self.identity.agree(&hello).and_then(|version| match offered {
            Some((_, service)) => Ok((version, service.clone())),
            None => Err(format!("{} does not offer {:?}", self.identity.node, hello.service)),
        });
        match agreed {
            Ok((version, service)) => {
                write_message(stream, &[], &self.identity.welcome(version)).await?;
                Ok((hello, version, service))
            }
            Err(reason) => {
                let from = hello.node;
                let refused = HelloReply::Refused { reason: reason.clone() };
                write_message(stream, &[], &refused).await?;
                Err(NetError::handshake(format!("refused {from}: {reason}")))
            }
        }
    }
}

/// A private connection that was welcomed.
#[derive(Debug)]
pub struct Accepted {
    /// What the other side said about itself.
    pub hello: Hello,
    /// The version of the private protocol to speak.
    pub version: u16,
    pub peer: SocketAddr,
    stream: TcpStream,
    permit: ConnectionPermit,
}

impl Accepted {
    /// What the service asked for is spoken on. The caller's types must be those of
    /// `hello.service`.
    pub fn transport<Req, Resp>(self) -> ServerTransport<Req, Resp>
    where
        Req: for<'de> Deserialize<'de>,
        Resp: Serialize,
    {
        transport(self.stream)
    }

    /// Take the connection away from this runtime, to be served on another thread. It still counts
    /// as open.
    pub fn detach(self) -> io::Result<Detached> {
        let Accepted { hello, version, peer, stream, permit } = self;
        Ok(Detached { hello, version, peer, stream: stream.into_std()?, permit })
    }
}

/// An [`Accepted`] connection between two runtimes.
#[derive(Debug)]
pub struct Detached {
    hello: Hello,
    version: u16,
    peer: SocketAddr,
    stream: std::net::TcpStream,
    permit: ConnectionPermit,
}

impl Detached {
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Take the connection into the current runtime. The permit must be kept while it is served.
    pub fn attach(self) -> io::Result<(Accepted, ConnectionPermit)> {
        let Detached { hello, version, peer, stream, permit } = self;
        let stream = TcpStream::from_std(stream)?;
        let accepted = Accepted { hello, version, peer, stream, permit: permit.clone() };
        Ok((accepted, permit))
    }
}
