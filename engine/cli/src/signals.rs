//! Signals of this process passed on to the container, and the terminal's size.

use tokio::signal::unix::{SignalKind, signal};

use crate::client::{Client, segment};

/// Passes on what would end or stir us, until the command ends.
pub(crate) fn forward(client: &Client, id: &str) {
    let list = [
        (SignalKind::hangup(), "HUP"),
        (SignalKind::interrupt(), "INT"),
        (SignalKind::quit(), "QUIT"),
        (SignalKind::terminate(), "TERM"),
        (SignalKind::user_defined1(), "USR1"),
        (SignalKind::user_defined2(), "USR2"),
    ];
    for (kind, name) in list {
        let Ok(mut stream) = signal(kind) else { continue };
        let (client, path) = (client.clone(), format!("/containers/{}/kill", segment(id)));
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                let _ = client.post(&path, &[("signal", name.to_owned())], None).await;
            }
        });
    }
}

/// Gives the terminal's size to `path` (of a container or an exec), now and whenever it changes.
pub(crate) fn follow_size(client: &Client, path: String) {
    let client = client.clone();
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    tokio::spawn(async move {
        // Just started, the container may not have its terminal yet.
        for _ in 0..10 {
            if resize(&client, &path).await {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        while changes.recv().await.is_some() {
            resize(&client, &path).await;
        }
    });
}

/// A size that isn't ours for a moment: told of a change, a shell draws its prompt anew.
pub(crate) async fn redraw(client: &Client, path: &str) {
    let Some((height, width)) = crate::tty::size() else { return };
    let query = [("h", (height + 1).to_string()), ("w", (width + 1).to_string())];
    // It is only for the looks.
    let _ = client.post(path, &query, None).await;
}

async fn resize(client: &Client, path: &str) -> bool {
    let Some((height, width)) = crate::tty::size() else { return true };
    client.post(path, &[("h", height.to_string()), ("w", width.to_string())], None).await.is_ok()
}
