//! What is taken, unknown or out of reach: names, ports, runtimes, images, registries. Debian's dockerd is asked
//! first; where Docker 28 says it in other words, engined says it in those.

use std::path::Path;

use integration_tests::{
    Answer, Client, CraftedImage, Daemon, Dockerd, FakeRegistry, MANIFEST, Netns, Output, Registry, Stack,
    digest, eventually,
};

/// A command, its exit code, what engined says, and what dockerd 20.10 says if that is something else.
type Case = (String, i32, String, Option<String>);

/// The last line that tells of an error, ids as `ID`.
fn error(stderr: &str) -> String {
    let line =
        stderr.lines().rev().find(|line| line.contains("Error response from daemon: ")).unwrap_or(stderr);
    let text = line.split_once("Error response from daemon: ").map_or(line, |(_, text)| text);
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(is_id);
    words
        .filter(|id| !text.contains(&format!("sha256:{id}")))
        .fold(text.trim_end().trim_end_matches('.').to_owned(), |text, id| text.replace(id, "ID"))
}

fn cases(fake: &FakeRegistry) -> Vec<Case> {
    let host = fake.name("").trim_end_matches('/').to_owned();
    let nobody = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let unknown = |image: &str| format!("manifest for {image} not found: manifest unknown: manifest unknown");
    let refused = "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused";
    let case = |words: &str, code, text: &str| (words.to_owned(), code, text.to_owned(), None);
    let other = |words: &str, code, text: &str, old: &str| {
        (words.to_owned(), code, text.to_owned(), Some(old.to_owned()))
    };
    let external = "driver failed programming external connectivity on endpoint";
    let port = |port: &str, why: &str, old: &str| {
        let run = format!("run --name late -p {port}:80 busybox:1 true");
        let ours = format!("failed to set up container networking: {external} late (ID): {why}");
        (run, 125, ours, Some(format!("{external} late (ID): {old}")))
    };
    let allocated = "Bind for 0.0.0.0:7777 failed: port is already allocated";
    vec![
        case(
            "run --name box busybox:1 true",
            125,
            "Conflict. The container name \"/box\" is already in use by container \"ID\". You have to remove (or rename) that container to be able to reuse that name",
        ),
        case(
            "rename other box",
            1,
            "Error when allocating new name: Conflict. The container name \"/box\" is already in use by container \"ID\". You have to remove (or rename) that container to be able to reuse that name",
        ),
        port("7777", allocated, allocated),
        port(
            "7778",
            "failed to bind host port 0.0.0.0:7778/tcp: address already in use",
            "Error starting userland proxy: listen tcp4 0.0.0.0:7778: bind: address already in use",
        ),
        other(
            "run --name late --runtime nosuch busybox:1 true",
            125,
            "unknown or invalid runtime name: nosuch",
            "Unknown runtime specified nosuch",
        ),
        case("pull 127.0.0.1:1/x:1", 1, refused),
        case("run --name late 127.0.0.1:1/x:1 true", 125, refused),
        case("pull 127.0.0.1:5000/nosuch:1", 1, &unknown("127.0.0.1:5000/nosuch:1")),
        case("run --name late 127.0.0.1:5000/nosuch:1 true", 125, &unknown("127.0.0.1:5000/nosuch:1")),
        case(
            &format!("pull 127.0.0.1:5000/nosuch@{nobody}"),
            1,
            &unknown(&format!("127.0.0.1:5000/nosuch@{nobody}")),
        ),
        (
            format!("pull {host}/liar@{nobody}"),
            1,
            format!("manifest verification failed for digest {nobody}"),
            None,
        ),
        case("inspect -f x nosuch", 1, "Error: No such object: nosuch"),
        case("start nosuch", 1, "No such container: nosuch"),
    ]
}

fn check(name: &str, (netns, dir): (&Netns, &Path), client: &Client, is_dockerd: bool) {
    let fake = FakeRegistry::start(netns);
    let manifest = CraftedImage::small().manifest.to_string();
    let nobody = "0".repeat(64);
    let lie = Answer::ok(MANIFEST, manifest.clone());
    fake.answer(
        &format!("/v2/liar/manifests/sha256:{nobody}"),
        lie.header("Docker-Content-Digest", &digest(manifest.as_bytes())),
    );
    client.run(&["run", "-d", "--name", "box", "-p", "7777:80", "busybox:1", "sleep", "1000"]).ok();
    client.run(&["create", "--name", "other", "busybox:1", "true"]).ok();
    let mut nc = netns.command("busybox");
    nc.args(["nc", "-l", "-p", "7778"]);
    let stranger = Daemon::start("nc", nc, &dir.join("nc.log"));
    eventually("a stranger listens", || {
        let mut ss = netns.command("ss");
        Output::of(ss.args(["-ltn"])).stdout.contains(":7778").then_some(())
    });
    for (command, code, ours, theirs) in cases(&fake) {
        let output = client.run(&command.split(' ').collect::<Vec<_>>());
        let expected = theirs.filter(|_| is_dockerd).unwrap_or(ours);
        let said = error(&output.stderr);
        assert_eq!((output.code, said.as_str()), (code, expected.as_str()), "{name}: {command}");
        client.run(&["rm", "-f", "late"]);
    }
    assert_eq!(client.run(&["ps", "--format", "{{.Names}}"]).ok(), "box", "{name}");
    stranger.terminate();
    client.run(&["rm", "-f", "box", "other"]).ok();
}

#[test]
fn what_is_taken_unknown_or_out_of_reach_is_told_in_dockers_words() {
    let dockerd = Dockerd::start(None);
    let registry = Registry::start(dockerd.netns(), dockerd.dir());
    check("dockerd", (dockerd.netns(), dockerd.dir()), &dockerd.docker(), true);
    registry.stop();
    let stack = Stack::start();
    stack.docker(&["pull", "-q", "127.0.0.1:5000/busybox:1"]).ok();
    stack.docker(&["tag", "127.0.0.1:5000/busybox:1", "busybox:1"]).ok();
    check("docker", (&stack.netns, stack.dir()), &stack.docker_client(), false);
    check("engine", (&stack.netns, stack.dir()), &stack.engine_client(), false);
    stack.assert_clean(&[]);
}
