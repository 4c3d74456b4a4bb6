use std::time::Duration;

use pegasus_protocol::private::{Hello, HelloReply, PREAMBLE};
use pegasus_types::NodeId;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout as within;

use super::handshake::{read_message, write_message};
use super::transport::{ClientTransport, transport};
use crate::NetError;
use crate::listen::tune_private;

/// A private connection on which the other side said welcome.
#[derive(Debug)]
pub struct Connected {
    /// The version of the private protocol to speak.
    pub version: u16,
    /// What the other side calls itself; not necessarily the address that was dialled.
    pub node: NodeId,
    pub incarnation: u64,
    stream: TcpStream,
}

impl Connected {
    /// What a generated tarpc client is built on: `XClient::new(config, connected.transport())`.
    /// The types must be those of the service named in the greeting.
    pub fn transport<Req, Resp>(self) -> ClientTransport<Req, Resp>
    where
        Req: Serialize,
        Resp: for<'de> Deserialize<'de>,
    {
        transport(self.stream)
    }
}

/// Connect to a daemon and introduce ourselves. `timeout` bounds all of it: name lookup,
/// connection and handshake.
pub async fn connect(
    target: &NodeId,
    hello: Hello,
    timeout: Duration,
) -> Result<Connected, NetError> {
    let what = || format!("connect to {target}");
    match within(timeout, dial(target, hello)).await {
        Ok(result) => result,
        Err(_) => Err(NetError::Timeout { what: what() }),
    }
}

async fn dial(target: &NodeId, hello: Hello) -> Result<Connected, NetError> {
    let mut stream = TcpStream::connect((target.host(), target.port()))
        .await
        .map_err(|e| NetError::io(format!("connect to {target}"), e))?;
    tune_private(&stream);
    write_message(&mut stream, &PREAMBLE, &hello).await?;
    match read_message::<HelloReply>(&mut stream).await? {
        HelloReply::Welcome { version, node, incarnation } => {
            if version < hello.version_min || version > hello.version_max {
                let reason = format!("{target} wants to speak version {version}");
                return Err(NetError::handshake(reason));
            }
            Ok(Connected { version, node, incarnation, stream })
        }
        HelloReply::Refused { reason } => Err(NetError::Refused { target: target.clone(), reason }),
    }
}
