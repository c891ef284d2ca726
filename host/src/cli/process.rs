//! What this process asks of the system for itself: secrets in its memory are nobody else's, and its children do not outlive it.

use std::io::{BufRead, IsTerminal};

/// Keeps the memory of this process, where opened secrets are, out of core files and away from other processes of the same user.
pub(super) fn keep_memory_private() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[expect(unsafe_code, reason = "setrlimit reads the struct that it is given, and nothing else")]
    // Where the system refuses, nothing is worse than it was.
    let _done = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    #[cfg(target_os = "linux")]
    {
        #[expect(unsafe_code, reason = "prctl with this option takes numbers only")]
        let _done = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    }
}

/// Makes a child end with this process, also if this process is killed.
pub(super) fn end_with_us(command: &mut tokio::process::Command) {
    #[cfg(target_os = "linux")]
    {
        let parent = std::process::id();
        let tie = move || {
            #[expect(
                unsafe_code,
                reason = "both calls take and give numbers only, and are allowed between fork and exec"
            )]
            let parent_now = unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
                libc::getppid()
            };
            // We may have ended before the child could say that.
            if u32::try_from(parent_now) == Ok(parent) { Ok(()) } else { Err(std::io::ErrorKind::BrokenPipe.into()) }
        };
        #[expect(unsafe_code, reason = "what runs between fork and exec makes two system calls and allocates nothing")]
        unsafe {
            command.pre_exec(tie);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// Reads a line of standard input; what is typed at a terminal is not shown. Whoever stops waiting gets the terminal back as it was.
pub(super) async fn read_hidden_line() -> std::io::Result<zeroize::Zeroizing<String>> {
    let _hidden = std::io::stdin().is_terminal().then(HiddenTyping::begin).flatten();
    read_line().await
}

/// Reads a line of standard input, on a thread that may be left behind.
pub(super) async fn read_line() -> std::io::Result<zeroize::Zeroizing<String>> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = zeroize::Zeroizing::new(String::new());
        std::io::stdin().lock().read_line(&mut line)?;
        Ok(line)
    });
    reading.await.map_err(std::io::Error::other)?
}

/// The terminal without its echo, until this goes.
struct HiddenTyping {
    before: libc::termios,
}

impl HiddenTyping {
    fn begin() -> Option<HiddenTyping> {
        let mut settings = std::mem::MaybeUninit::<libc::termios>::zeroed();
        #[expect(unsafe_code, reason = "tcgetattr fills the struct, and all zeros is a valid one")]
        let before = unsafe {
            if libc::tcgetattr(libc::STDIN_FILENO, settings.as_mut_ptr()) != 0 {
                return None;
            }
            settings.assume_init()
        };
        let mut hidden = before;
        hidden.c_lflag &= !libc::ECHO;
        // The end of the line is shown, so that people see that it was taken.
        hidden.c_lflag |= libc::ECHONL;
        #[expect(unsafe_code, reason = "tcsetattr reads the struct that it is given, and nothing else")]
        let done = unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, &raw const hidden) };
        (done == 0).then_some(HiddenTyping { before })
    }
}

impl Drop for HiddenTyping {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "tcsetattr reads the struct that it is given, and nothing else")]
        let _done = unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, &raw const self.before) };
    }
}
