//! PCP over TCP, as modems with a 4G link offer it: one connection per device, frames both ways.
//!
//! A connection that brings nothing for a while is closed; its device opens another one when it has something to say. What
//! is to be sent waits in a short queue per connection: a device that does not read loses frames, as it would on UDP,
//! and holds up nobody.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

use super::pcp_frames::PcpFrames;
use crate::book::Peer;
use crate::service::Service;

/// Frames that wait for one device at most.
const QUEUED_FRAMES: usize = 64;

/// What the server grants to those who connect.
#[derive(Debug, Clone, Copy)]
pub struct TcpLimits {
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// A connection that brings nothing for so long is closed.
    pub idle: Duration,
}

impl Default for TcpLimits {
    /// 20,000 connections; 35 minutes, which is a little more than the longest wait the protocol has (30 minutes).
    fn default() -> Self {
        Self {
            connections: 20_000,
            idle: Duration::from_mins(35),
        }
    }
}

/// The way back to a device. It may be kept and used at any time: the platform speaks first in this protocol.
#[derive(Debug, Clone)]
pub struct StreamPeer {
    address: SocketAddr,
    frames: mpsc::Sender<Vec<u8>>,
}

impl StreamPeer {
    /// Who that is.
    pub fn peer(&self) -> Peer {
        Peer::Tcp(self.address)
    }

    /// Send a frame; `false` if the device is gone or does not read.
    pub fn send(&self, frame: Vec<u8>) -> bool {
        self.frames.try_send(frame).is_ok()
    }
}

/// Takes the frames that streams bring.
pub trait FrameService: Send + Sync + 'static {
    /// A whole frame came whose check is right. Called on a thread that serves many devices: it must not wait.
    fn on_frame(&self, from: &StreamPeer, frame: &[u8]);
    /// The connection has ended.
    fn gone(&self, peer: Peer);
}

impl FrameService for Mutex<Service> {
    fn on_frame(&self, from: &StreamPeer, frame: &[u8]) {
        let handled = self
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .handle(frame, from.peer());
        if !handled.answers.is_empty() {
            let to = from.clone();
            handled.settled.then(move || {
                for answer in handled.answers {
                    to.send(answer);
                }
            });
        }
    }

    fn gone(&self, peer: Peer) {
        self.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .gone(peer);
    }
}

/// The listener.
pub struct TcpServer {
    listener: TcpListener,
    limits: TcpLimits,
}

impl TcpServer {
    /// Listen on `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// When the host refuses.
    pub async fn bind(address: SocketAddr, limits: TcpLimits) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, limits })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serve until `stop` changes.
    pub async fn serve(self, service: Arc<dyn FrameService>, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            let accepted = tokio::select! {
                _ = stop.changed() => return,
                accepted = async {
                    let place = Arc::clone(&places).acquire_owned().await;
                    (place, self.listener.accept().await)
                } => accepted,
            };
            let (Ok(place), Ok((stream, address))) = accepted else {
                // Out of open files, most likely: those that are served go on, and the next place is waited for.
                tracing::warn!("a connection could not be accepted; check the limit on open files");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (service, stop, idle) = (Arc::clone(&service), stop.clone(), self.limits.idle);
            tokio::spawn(async move {
                serve_one(stream, address, &*service, stop, idle).await;
                drop(place);
            });
        }
    }
}

async fn serve_one(
    stream: TcpStream,
    address: SocketAddr,
    service: &dyn FrameService,
    mut stop: watch::Receiver<bool>,
    idle: Duration,
) {
    let (reader, writer) = stream.into_split();
    let (frames, queue) = mpsc::channel(QUEUED_FRAMES);
    let peer = StreamPeer { address, frames };
    tokio::select! {
        _ = stop.changed() => {}
        () = read(reader, &peer, service, idle) => {}
        () = write(writer, queue) => {}
    }
    service.gone(peer.peer());
    tracing::debug!(%address, "a stream has ended");
}

async fn read(
    mut reader: OwnedReadHalf,
    peer: &StreamPeer,
    service: &dyn FrameService,
    idle: Duration,
) {
    let mut frames = PcpFrames::default();
    let mut buffer = [0; 2048];
    // Ends with the stream, with its failure, or when it brings nothing.
    while let Ok(Ok(length @ 1..)) = tokio::time::timeout(idle, reader.read(&mut buffer)).await {
        frames.take(&buffer[..length], |frame| service.on_frame(peer, frame));
    }
    if frames.skipped() > 0 {
        tracing::debug!(address = %peer.address, bytes = frames.skipped(), "a stream brought bytes of no frame");
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if writer.write_all(&frame).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends every frame back, and tells of ends.
    struct Echo(mpsc::UnboundedSender<Peer>);

    impl FrameService for Echo {
        fn on_frame(&self, from: &StreamPeer, frame: &[u8]) {
            from.send(frame.to_vec());
        }

        fn gone(&self, peer: Peer) {
            let _ = self.0.send(peer);
        }
    }

    const QUERY: [u8; 8] = [0xFF, 0xFE, 0x01, 0x13, 0x4C, 0x9A, 0, 0];

    async fn server(
        idle: Duration,
    ) -> (
        SocketAddr,
        mpsc::UnboundedReceiver<Peer>,
        watch::Sender<bool>,
        tokio::task::JoinHandle<()>,
    ) {
        let limits = TcpLimits {
            connections: 2,
            idle,
        };
        let server = TcpServer::bind(([127, 0, 0, 1], 0).into(), limits)
            .await
            .unwrap();
        let address = server.local_addr().unwrap();
        let (sender, gone) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(server.serve(Arc::new(Echo(sender)), stopped));
        (address, gone, stop, serving)
    }

    #[tokio::test]
    async fn frames_go_both_ways_over_garbage_and_all_ends_when_told() {
        let (address, mut gone, stop, serving) = server(Duration::from_mins(1)).await;
        let mut device = TcpStream::connect(address).await.unwrap();
        let own = device.local_addr().unwrap();
        device.write_all(b"+QIURC: \xFF\xFE").await.unwrap();
        device.write_all(&QUERY[..3]).await.unwrap();
        device.write_all(&QUERY[3..]).await.unwrap();
        let mut back = [0; 8];
        device.read_exact(&mut back).await.unwrap();
        assert_eq!(back, QUERY);
        stop.send(true).unwrap();
        serving.await.unwrap();
        assert_eq!(gone.recv().await, Some(Peer::Tcp(own)));
        assert_eq!(device.read(&mut back).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_brings_nothing_is_closed() {
        let (address, mut gone, _stop, _serving) = server(Duration::from_mins(5)).await;
        let device = TcpStream::connect(address).await.unwrap();
        assert_eq!(
            gone.recv().await,
            Some(Peer::Tcp(device.local_addr().unwrap()))
        );
    }
}
