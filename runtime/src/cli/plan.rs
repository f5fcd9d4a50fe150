//! `tidegate plan`: what a reload from one policy to another would do.

use std::path::Path;

use tidegate_dsl::diff::diff;

use super::check::compile;
use super::{AnswerFormat, Failed, answer, remote};

/// Says what becomes of each declaration, and which connections end.
pub(super) fn plan(
    old: &Path,
    new: Option<&Path>,
    admin: Option<&str>,
    format: AnswerFormat,
    show_env: bool,
) -> Result<(), Failed> {
    if let Some(address) = admin {
        let policy = std::fs::read_to_string(old)
            .map_err(|error| Failed::Because(format!("cannot read `{}`: {error}", old.display())))?;
        return remote::plan(address, policy, format);
    }
    let Some(new) = new else {
        return Err(Failed::Usage("name two policies: `tidegate plan OLD NEW`".to_owned()));
    };
    // The mistakes of both are reported, even if the first has some.
    let (old, new) = (compile(old, show_env), compile(new, show_env));
    let ((old, old_mask), (new, new_mask)) = (old?, new?);
    let masked = |text: &str| new_mask.text(&old_mask.text(text)).into_owned();
    let changes = diff(old.plan(), new.plan());
    match format {
        AnswerFormat::Human => answer(&masked(&changes.to_string())),
        AnswerFormat::Json => {
            let json = serde_json::to_string_pretty(&changes).map_err(|error| Failed::Because(error.to_string()))?;
            answer(&masked(&json))
        }
    }
}

#[cfg(test)]
#[expect(clippy::panic, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compared_is_told() {
        let old = Path::new("/none");
        let Err(Failed::Usage(said)) = plan(old, None, None, AnswerFormat::Human, false) else {
            panic!("one policy cannot be compared")
        };
        assert_eq!(said, "name two policies: `tidegate plan OLD NEW`");
        let Err(Failed::Because(said)) = plan(old, None, Some("[::1]:9901"), AnswerFormat::Json, false) else {
            panic!("there is no such file")
        };
        assert!(said.starts_with("cannot read `/none`"), "{said}");
    }
}
