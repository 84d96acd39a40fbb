//! Command on a terminal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::Child,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use nix::pty::{Winsize, openpty};

use super::{Run, Sealwax, wait_until};

/// Command whose standard input and standard error are a terminal, but not standard output.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    shown: Arc<Mutex<String>>,
    screen: JoinHandle<()>,
}

impl Terminal {
    /// Runs a command.
    pub(crate) fn run(mut command: Sealwax) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a terminal");
        let mut master = File::from(pty.master);
        command.command.stdin(pty.slave.try_clone().expect("cloned")).stderr(pty.slave);
        if command.command.get_envs().all(|(name, _)| name != "TERM") {
            command.command.env("TERM", "xterm");
        }
        let child = command.command.spawn().expect("the command starts");
        // The parent's copy of the other side would keep the terminal open.
        drop(command);
        let (keyboard, shown) =
            (master.try_clone().expect("cloned"), Arc::<Mutex<String>>::default());
        let screen = thread::spawn({
            let shown = Arc::clone(&shown);
            move || {
                let mut buffer = [0; 4096];
                // Reading fails after the other side is closed.
                while let Ok(len @ 1..) = master.read(&mut buffer) {
                    shown
                        .lock()
                        .expect("no panic")
                        .push_str(&String::from_utf8_lossy(&buffer[..len]));
                }
            }
        });
        Self { child, keyboard, shown, screen }
    }

    /// Waits for this text.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        wait_until(text, || self.shown.lock().expect("no panic").contains(text));
    }

    /// Types a line.
    pub(crate) fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).expect("typed");
    }

    /// Sends a signal, as Ctrl-C does.
    pub(crate) fn interrupts(&self) {
        super::send("INT", &self.child);
    }

    /// Waits for its exit. Standard error is the terminal's text, with the input.
    pub(crate) fn ends(self) -> Run {
        let output = self.child.wait_with_output().expect("it ends");
        self.screen.join().expect("no panic");
        let run = Run::new(output);
        Run { stderr: self.shown.lock().expect("no panic").clone(), ..run }
    }
}
