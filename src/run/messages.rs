//! What a tool's or a server's message means, told by the words in it. Pure.
//!
//! Docker, git and GitHub's API say with one exit status or one HTTP status what may have a dozen causes; only their
//! words tell a wrong password from a full disk. A table is a list of rows in order, because one message may hold the
//! words of several. What no row knows is passed on as it came.

/// One meaning: the words that tell it, what the program makes of it, what a person is told.
#[derive(Clone, Copy)]
pub struct Row<C> {
    /// Any of these, in lower case.
    pub words: &'static [&'static str],
    /// Only what changes what is done next.
    pub class: C,
    /// What it means and what to do; empty where the message itself says it.
    pub hint: &'static str,
}

/// The first row of which a word is in `message`, whatever its case.
pub fn classify<'a, C>(rows: &'a [Row<C>], message: &str) -> Option<&'a Row<C>> {
    let message = message.to_ascii_lowercase();
    rows.iter()
        .find(|row| row.words.iter().any(|word| message.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_counts_and_case_does_not() {
        let rows = [
            Row {
                words: &["too many", "slow down"],
                class: 1,
                hint: "wait",
            },
            Row {
                words: &["denied"],
                class: 2,
                hint: "",
            },
        ];
        let class = |message| classify(&rows, message).map(|row| row.class);
        assert_eq!(class("Denied: Slow Down"), Some(1));
        assert_eq!(class("DENIED"), Some(2));
        assert_eq!(class("something new"), None);
    }
}
