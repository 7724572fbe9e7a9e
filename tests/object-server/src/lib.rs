//! An S3-compatible server on the loopback interface, for tests.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use mgit::transfer::ObjectRemote;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The key that the server asks for.
pub const ACCESS_KEY: &str = "test-key";
/// The secret that goes with it.
pub const SECRET_KEY: &str = "test-secret";

/// A server over a folder, one bucket a folder in it. It ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    /// Starts a server on a free port.
    pub fn start(root: &Path) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let files = s3s_fs::FileSystem::new(root).expect("a folder");
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    // A client that goes away is no failure of the server.
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Server { address, _runtime: runtime }
    }

    /// The server's address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of a bucket.
    pub fn client(&self, bucket: &str, secret: &str) -> object_store::aws::AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(self.endpoint())
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(bucket)
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(secret)
            .build()
            .expect("a client")
    }

    /// A remote in a bucket.
    pub fn remote(&self, bucket: &str) -> ObjectRemote {
        let client = self.client(bucket, SECRET_KEY);
        let place = format!("s3://{bucket}/family");
        ObjectRemote::on(Arc::new(client), Key::from("family"), place).expect("a remote")
    }
}
