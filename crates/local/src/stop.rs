//! Being told to stop.

use std::time::Duration;

/// Signals that follow each other so fast are one.
const SAME_SIGNAL_TIME: Duration = Duration::from_secs(1);

/// Waits for Ctrl-C, or on Unix for SIGTERM.
pub async fn stop() {
    let interrupt = async {
        // Without a handler the system's own way of stopping it remains.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

/// Waits until that is wanted twice.
pub async fn stop_twice() {
    stop().await;
    // Some programs that end others send the signal to the process and to its group.
    tokio::time::sleep(SAME_SIGNAL_TIME).await;
    stop().await;
}
