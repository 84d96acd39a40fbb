//! Completions, manual pages, colours.

use std::process::Command;

use crate::support::{Scene, Sealwax};

#[test]
fn completions_contain_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let run = Sealwax::new(["completions", shell]).without_env("AWS_REGION").run().exits(0);
        let text = String::from_utf8(run.stdout).expect("text");
        assert!(text.contains("reencrypt") && text.contains("skip-unchanged"), "{shell}");
    }
    let script =
        Sealwax::by_shell(&format!("{} completions bash | bash -n", env!("CARGO_BIN_EXE_sealwax")));
    script.run().exits(0);
}

#[test]
fn bash_completes_commands_and_options() {
    let scene = Scene::new("completes");
    let script = scene.file("script", &Sealwax::new(["completions", "bash"]).run().exits(0).stdout);
    for (typed, completed) in [
        (&["pu"][..], "put"),
        (&["uploads", "a"], "abort"),
        (&["put", "--skip"], "--skip-unchanged"),
        (&["put", "--format", ""], "native s3ec-v3 s3ec-v2"),
    ] {
        let words = typed.iter().map(|word| format!(" '{word}'")).collect::<String>();
        let line = format!(
            "source {}; COMP_WORDS=(sealwax{words}); COMP_CWORD={}; \
             _sealwax sealwax \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\"",
            script.display(),
            typed.len(),
        );
        let output = Command::new("bash").args(["-c", &line]).output().expect("bash runs");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim_end(),
            completed,
            "{typed:?}: {output:?}"
        );
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let scene = Scene::new("man");
    Sealwax::new(["man"]).args([scene.path("")]).without_env("AWS_REGION").run().exits(0);
    let pages = scene.files();
    for page in ["sealwax.1", "sealwax-put.1", "sealwax-uploads-abort.1", "sealwax-doctor.1"] {
        assert!(pages.iter().any(|name| name == page), "{page}: {pages:?}");
    }
    Sealwax::new(["man"]).args([scene.path("new/folder")]).run().exits(0);
    assert!(scene.path("new/folder/sealwax.1").exists());
    Sealwax::new(["man"]).args([scene.path("sealwax.1")]).run().fails(1, "cannot write to");
}

#[test]
fn every_command_has_examples() {
    let commands = Sealwax::commands();
    for name in &commands {
        let name = &**name;
        let args = match name {
            "keys" | "uploads" => vec![name, "ls", "--help"],
            _ => vec![name, "--help"],
        };
        let text = String::from_utf8(Sealwax::new(&args).run().exits(0).stdout).expect("text");
        assert!(text.contains("Examples:\n  "), "{name}: {text}");
        assert!(!text.contains('\u{1b}'), "{name} is coloured");
    }
    assert!(commands.len() >= 20, "{commands:?}");
}
