//! Registries as they are out there: TLS, an authority of one's own, mirrors, images for several platforms.

use integration_tests::{PlatformIndex, Registry, Stack};

use crate::clients::CLIS;

#[test]
fn a_certificate_is_checked_against_the_users_authorities() {
    let mut stack = Stack::start();
    let registry = Registry::start_secure(&stack.netns, stack.dir());
    registry.push(&stack.netns, &stack.image, "busybox:1");
    let image = registry.name("busybox:1");
    let certs = stack.dir().join("certs.d");
    stack.engined_flags = vec!["--registry-certs-dir".to_owned(), certs.display().to_string()];
    stack.restart_engined();
    for (name, cli) in CLIS {
        let refused = cli(&stack, &["pull", &image]);
        assert_eq!(refused.code, 1, "{name}");
        assert!(refused.stderr.contains("certificate"), "{name}: {}", refused.stderr);
        assert_eq!(cli(&stack, &["images", "-q"]).ok(), "", "{name}");
    }
    let folder = certs.join(&registry.address);
    std::fs::create_dir_all(&folder).expect("make the registry's folder");
    let ca = registry.certificates.as_ref().expect("it speaks TLS").join("ca.crt");
    std::fs::copy(ca, folder.join("ca.crt")).expect("copy the authority's certificate");
    for (name, cli) in CLIS {
        cli(&stack, &["pull", &image]).ok();
        assert_eq!(cli(&stack, &["run", "--rm", &image, "echo", "hi"]).ok(), "hi", "{name}");
        cli(&stack, &["rmi", &image]).ok();
    }
    registry.stop();
}

#[test]
fn an_insecure_registry_may_have_any_certificate_or_none() {
    let mut stack = Stack::start();
    let registry = Registry::start_secure(&stack.netns, stack.dir());
    registry.push(&stack.netns, &stack.image, "busybox:1");
    let plain = Registry::start_plain(&stack.netns, stack.dir());
    plain.push(&stack.netns, &stack.image, "busybox:1");
    let images = [registry.name("busybox:1"), plain.name("busybox:1")];
    for image in &images {
        assert_eq!(stack.docker(&["pull", image]).code, 1, "{image}");
    }
    stack.engined_flags = vec!["--insecure-registry".to_owned(), "10.99.0.0/24".to_owned()];
    stack.restart_engined();
    for image in &images {
        stack.docker(&["pull", image]).ok();
        stack.docker(&["rmi", image]).ok();
    }
    plain.stop();
    registry.stop();
}

#[test]
fn a_mirror_of_docker_hub_is_asked_first() {
    let mut stack = Stack::start();
    stack.engined_flags = vec!["--registry-mirror".to_owned(), "http://127.0.0.1:5000".to_owned()];
    stack.restart_engined();
    // Pushed to the mirror as library/…, as the Hub's official images are.
    stack.registry().push(&stack.netns, &stack.image, "library/mirrored:1");
    stack.docker(&["pull", "mirrored:1"]).ok();
    assert_eq!(stack.docker(&["run", "--rm", "mirrored:1", "echo", "hi"]).ok(), "hi");
    assert!(stack.docker(&["images"]).ok().contains("mirrored"));
}

#[test]
fn of_an_index_only_the_platform_asked_for_is_fetched() {
    let stack = Stack::start();
    let index = PlatformIndex::build(stack.dir(), &["amd64", "arm64"]);
    let registry = stack.registry();
    registry.copy(&stack.netns, &format!("oci:{}", index.layout.display()), "multi:1");
    let image = registry.name("multi:1");
    let platform =
        |stack: &Stack| stack.docker(&["image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", &image]).ok();
    let held = |stack: &Stack| {
        let content = stack.ctr(&["-n", "engine", "content", "ls", "-q"]).ok();
        index.manifests.iter().map(|digest| content.contains(digest)).collect::<Vec<_>>()
    };
    stack.docker(&["pull", &image]).ok();
    assert_eq!((platform(&stack), held(&stack)), ("linux/amd64".to_owned(), vec![true, false]));
    assert_eq!(stack.docker(&["run", "--rm", &image, "cat", "/arch"]).ok(), "amd64");
    stack.docker(&["rmi", &image]).ok();
    stack.docker(&["pull", "--platform", "linux/arm64", &image]).ok();
    assert_eq!((platform(&stack), held(&stack)), ("linux/arm64".to_owned(), vec![false, true]));
    let missing = stack.docker(&["pull", "--platform", "linux/s390x", &image]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("no match"), "{}", missing.stderr);
}
