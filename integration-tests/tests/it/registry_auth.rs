//! Registries that ask who asks: passwords, tokens, and what those are told who may not.

use std::path::Path;
use std::time::Duration;

use containerd_client::{Client as Grpc, Credentials, PullRequest};
use integration_tests::{
    BusyboxImage, Client, Containerd, CraftedImage, Dockerd, FakeRegistry, Netns, Registry, Stack,
    TokenServer, eventually, namespace,
};

/// base64 of `me:secret` and of `me:wrong`.
const RIGHT: &str = "bWU6c2VjcmV0";
const WRONG: &str = "bWU6d3Jvbmc=";

/// Registries by which everybody is asked, in one network namespace.
struct Guarded {
    /// Wants a password.
    basic: Registry,
    /// Wants a token.
    tokens: FakeRegistry,
    home: std::path::PathBuf,
}

impl Guarded {
    fn start(netns: &Netns, dir: &Path) -> Self {
        let image = BusyboxImage::build(&dir.join("guarded"), "busybox:1");
        let basic = Registry::start_guarded(netns, dir);
        basic.push(netns, &image, "busybox:1");
        let tokens = FakeRegistry::start(netns);
        tokens.serve("small", &CraftedImage::small());
        tokens.want_tokens(TokenServer { user: format!("Basic {RIGHT}") });
        Self { basic, tokens, home: dir.to_owned() }
    }

    fn names(&self) -> [String; 2] {
        [self.basic.name("busybox:1"), self.tokens.name("small:1")]
    }

    /// What `docker login` would leave: for both registries these credentials, or none.
    fn keep(&self, auth: Option<&str>) {
        let hosts = self.names().map(|name| name.split('/').next().unwrap_or_default().to_owned());
        let entry = |host: &String| auth.map(|auth| format!(r#""{host}":{{"auth":"{auth}"}}"#));
        let entries: Vec<String> = hosts.iter().filter_map(entry).collect();
        let folder = self.home.join(".docker");
        std::fs::create_dir_all(&folder).expect("make docker's folder");
        let text = format!(r#"{{"auths":{{{}}}}}"#, entries.join(","));
        std::fs::write(folder.join("config.json"), text).expect("write docker's configuration");
    }

    /// A pull by whom it isn't allowed, and one by whom it is.
    fn pulls_are_answered_as_docker_does(&self, name: &str, client: &Client) {
        let said = |image: &str| {
            let output = client.run(&["pull", image]);
            assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{name}: {image}");
            output.stderr.trim_end().replace("Error response from daemon: ", "")
        };
        let [basic, tokens] = self.names();
        let url = |image: &str| {
            let (host, rest) = image.split_once('/').expect("a host");
            format!("http://{host}/v2/{}", rest.replace(':', "/manifests/"))
        };
        self.keep(None);
        assert_eq!(said(&basic), format!("Head \"{}\": no basic auth credentials", url(&basic)), "{name}");
        let repository = tokens.trim_end_matches(":1");
        let denied = format!(
            "pull access denied for {repository}, repository does not exist or may require 'docker login': \
             denied: requested access to the resource is denied"
        );
        assert_eq!(said(&tokens), denied, "{name}");
        self.keep(Some(WRONG));
        assert_eq!(said(&basic), "unauthorized: authentication required", "{name}");
        let wrong = format!("Head \"{}\": unauthorized: incorrect username or password", url(&tokens));
        assert_eq!(said(&tokens), wrong, "{name}");
        assert_eq!(client.run(&["images", "-q", "127.0.0.1:5001/busybox"]).ok(), "", "{name}");
        self.keep(Some(RIGHT));
        for image in [&basic, &tokens] {
            client.run(&["pull", image]).ok();
            client.run(&["rmi", image]).ok();
        }
    }

    fn logins_are_answered_as_docker_does(&self, name: &str, client: &Client) {
        let login = |image: &str, password: &str| {
            let host = image.split('/').next().expect("a host").to_owned();
            client.run_with_input(&["login", "-u", "me", "--password-stdin", &host], password)
        };
        let [basic, tokens] = self.names();
        let root = |image: &str| format!("http://{}/v2/", image.split('/').next().expect("a host"));
        self.keep(None);
        for (image, words) in [
            (&basic, format!("login attempt to {} failed with status: 401 Unauthorized", root(&basic))),
            (&tokens, format!("Get \"{}\": unauthorized: incorrect username or password", root(&tokens))),
        ] {
            let refused = login(image, "wrong");
            assert_eq!(refused.code, 1, "{name}: {image}");
            assert_eq!(refused.stderr.trim_end(), format!("Error response from daemon: {words}"), "{name}");
            let taken = login(image, "secret");
            assert!(taken.stdout.contains("Login Succeeded"), "{name}: {}{}", taken.stdout, taken.stderr);
            client.run(&["pull", image]).ok();
        }
    }
}

#[test]
fn dockerd_and_engined_answer_pulls_and_logins_alike() {
    let dockerd = Dockerd::start(None);
    let guarded = Guarded::start(dockerd.netns(), dockerd.dir());
    guarded.pulls_are_answered_as_docker_does("dockerd", &dockerd.docker());
    guarded.logins_are_answered_as_docker_does("dockerd", &dockerd.docker());
    let stack = Stack::start();
    let guarded = Guarded::start(&stack.netns, stack.dir());
    guarded.pulls_are_answered_as_docker_does("engine", &stack.engine_client());
    guarded.pulls_are_answered_as_docker_does("docker", &stack.docker_client());
    guarded.logins_are_answered_as_docker_does("docker", &stack.docker_client());
    for image in guarded.names() {
        stack.docker(&["rmi", &image]).ok();
    }
    stack.assert_clean(&[]);
    stack.assert_no_image();
}

/// Debian's containerd has no Transfer service: engined fetches itself.
#[test]
fn engined_over_debians_containerd_answers_pulls_alike() {
    let peer = Containerd::start();
    let stack = Stack::on_containerd(peer.socket());
    let guarded = Guarded::start(&stack.netns, stack.dir());
    guarded.pulls_are_answered_as_docker_does("docker", &stack.docker_client());
    assert_eq!(stack.docker(&["images", "-q"]).ok(), "");
}

#[test]
fn ctr_pulls_with_the_right_user_alone() {
    let stack = Stack::without_engine();
    let guarded = Guarded::start(&stack.netns, stack.dir());
    for image in guarded.names() {
        for user in [&[][..], &["--user", "me:wrong"]] {
            let pull = [&["images", "pull", "--plain-http"], user, &[image.as_str()]].concat();
            let refused = stack.ctr(&pull);
            let words = ["authorization failed", ": 401"];
            let is_said = words.iter().any(|words| refused.stderr.contains(words));
            assert!(refused.code == 1 && is_said, "{image}: {}", refused.stderr);
        }
        assert_eq!(stack.ctr(&["images", "ls", "-q"]).ok(), "", "{image}");
        stack.ctr(&["images", "pull", "--plain-http", "--user", "me:secret", &image]).ok();
        stack.ctr(&["images", "rm", "--sync", &image]).ok();
    }
    crate::bad_images::forget_what_ctr_left(&stack);
    stack.assert_clean(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemons_own_pull_asks_its_client_for_credentials() {
    let stack = Stack::without_engine();
    let guarded = Guarded::start(&stack.netns, stack.dir());
    let client = Grpc::new(&stack.containerd_socket(), &namespace(stack.dir()), Duration::from_secs(10));
    let client = client.expect("client");
    let pull = async |image: &str, secret: Option<&str>| {
        let credentials =
            secret.map(|secret| Credentials { username: "me".to_owned(), secret: secret.to_owned() });
        let request = PullRequest { reference: image.to_owned(), credentials, ..PullRequest::default() };
        client.pull(request).await?.end().await
    };
    let [basic, tokens] = guarded.names();
    for (image, secret, words) in [
        (&basic, None, "no basic auth credentials"),
        (&basic, Some("wrong"), "authorization: unauthorized: authentication required"),
        (&tokens, None, "insufficient_scope: authorization failed"),
        (&tokens, Some("wrong"), "unauthorized: incorrect username or password"),
    ] {
        let refused = pull(image, secret).await.expect_err("refused");
        assert!(refused.message().ends_with(words), "{image}: {}", refused.message());
        assert!(refused.message().contains("pull access denied"), "{image}: {}", refused.message());
        pull(image, Some("secret")).await.expect("let in");
        stack.ctr(&["images", "rm", "--sync", image]).ok();
    }
    assert_eq!(stack.ctr(&["leases", "ls", "-q"]).ok(), "");
    eventually("nothing is fetched any more", || {
        (stack.ctr(&["content", "ls", "-q"]).ok().is_empty()).then_some(())
    });
}
