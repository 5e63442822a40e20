//! One list of claims for everyone who serves the Docker API and everyone who asks: what Debian's dockerd doesn't
//! do under the docker CLI is no claim to make of engined.

use std::path::Path;

use integration_tests::{BusyboxImage, Client, Dockerd, Netns, Output, Registry, Stack};

/// The image's name everywhere.
pub(crate) const IMAGE: &str = "127.0.0.1:5000/busybox:1";

/// A client of engined.
type Cli = fn(&Stack, &[&str]) -> Output;

/// The docker CLI and ours, on a stack's engined.
pub(crate) const CLIS: [(&str, Cli); 2] = [("docker", |s, a| s.docker(a)), ("engine", |s, a| s.engine(a))];

/// A client of a daemon that has the image.
pub(crate) struct Place<'a> {
    /// For messages.
    pub(crate) name: &'a str,
    pub(crate) cli: &'a Client,
    /// Where the daemon lives.
    pub(crate) netns: &'a Netns,
    /// Where the image came from.
    pub(crate) registry: &'a Registry,
    /// A folder of the test's.
    pub(crate) dir: &'a Path,
    /// The daemon's socket.
    pub(crate) socket: &'a Path,
}

impl Place<'_> {
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.cli.run(args)
    }

    /// A shell script in which the client is `$C` and the image `$I`.
    pub(crate) fn shell(&self, script: &str) -> Output {
        let words: Vec<String> =
            self.cli.words(&[]).iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let script = format!("C='{}'; I={IMAGE}\n{script}", words.join(" "));
        let mut command = self.netns.command("sh");
        Output::of(command.args(["-c", &script]).envs(self.cli.env().to_vec()))
    }

    /// Runs what is to be refused: by this code and with these words.
    #[track_caller]
    pub(crate) fn refused(&self, args: &[&str], code: i32, words: &str) {
        let output = self.run(args);
        assert_eq!(output.code, code, "{}: {args:?}: {}", self.name, output.stderr);
        assert!(output.stderr.contains(words), "{}: {args:?}: {}", self.name, output.stderr);
    }

    /// A field of a container, by a template.
    pub(crate) fn field(&self, template: &str, container: &str) -> String {
        self.run(&["inspect", "-f", template, container]).ok()
    }

    /// Removes containers.
    pub(crate) fn remove(&self, containers: &[&str]) {
        self.run(&[&["rm", "-f"], containers].concat()).ok();
    }
}

/// Checks the claims on Debian's dockerd first, then on engined by the docker CLI and by ours.
pub(crate) fn on_each(claims: impl Fn(&Place<'_>)) {
    on_dockerd(&claims);
    on_engined(&Stack::start(), claims);
}

/// Checks the claims on Debian's dockerd and on engined, for what no client of ours takes part in.
pub(crate) fn on_both_daemons(claims: impl Fn(&Place<'_>)) {
    on_dockerd(&claims);
    let ours = |at: &Place<'_>| {
        if at.name == "docker" {
            claims(at);
        }
    };
    on_engined(&Stack::start(), ours);
}

/// Checks the claims on engined by the docker CLI and by ours.
pub(crate) fn on_engined(stack: &Stack, claims: impl Fn(&Place<'_>)) {
    stack.docker(&["pull", "-q", IMAGE]).ok();
    for (name, cli) in [("docker", stack.docker_client()), ("engine", stack.engine_client())] {
        let (netns, registry, dir, socket) =
            (&stack.netns, stack.registry(), stack.dir(), &stack.engine_socket());
        claims(&Place { name, cli: &cli, netns, registry, dir, socket });
    }
}

/// Checks the claims on Debian's dockerd, which gets its image from a registry as engined does.
pub(crate) fn on_dockerd(claims: impl Fn(&Place<'_>)) {
    let peer = Dockerd::start(None);
    let registry = Registry::start(peer.netns(), peer.dir());
    registry.push(peer.netns(), &BusyboxImage::build(peer.dir(), IMAGE), "busybox:1");
    peer.docker().run(&["rmi", Dockerd::IMAGE]).ok();
    peer.docker().run(&["pull", "-q", IMAGE]).ok();
    let (cli, netns, dir, socket) = (&peer.docker(), peer.netns(), peer.dir(), &peer.socket());
    claims(&Place { name: "dockerd", cli, netns, registry: &registry, dir, socket });
    registry.stop();
}
