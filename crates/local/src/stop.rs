//! Being told to stop.

use std::time::Duration;

/// Signals that follow each other so fast are one.
const SAME_SIGNAL_TIME: Duration = Duration::from_secs(1);

/// Waits for Ctrl-C, or on Unix for SIGTERM.
pub async fn stop() {
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).ok()?.recv().await
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<Option<()>>();
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        Some(()) = terminate => {}
        // Without a handler the system's own way of stopping it remains.
        else => std::future::pending().await,
    }
}

/// Waits until that is wanted twice.
pub async fn stop_twice() {
    stop().await;
    // Some programs that end others send the signal to the process and to its group.
    tokio::time::sleep(SAME_SIGNAL_TIME).await;
    stop().await;
}
