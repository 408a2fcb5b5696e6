//! What the YAML library says of a text, in the words of the person who wrote it. The library speaks to programmers (it
//! advises options and types); none of its advice goes further than this module.
use serde_saphyr::Error;
use serde_saphyr::budget::BudgetBreach;

use super::shown;

/// What is wrong, and what to do about it.
type Words = (String, &'static str);

/// What the scanner says, by how it begins; what that means; what to do.
const SCANNER: &[(&str, &str, &str)] = &[
    (
        "mapping values are not allowed",
        "a colon makes no key here",
        "see that this line is indented like its neighbours and that the line before has its colon; put text that holds `: ` in quotes",
    ),
    (
        "tabs disallowed",
        "a tab stands where YAML takes only spaces",
        "indent with spaces",
    ),
    (
        "simple key expected",
        "a line that should be `key: value` has no colon",
        "write a colon and a space after the key",
    ),
    (
        "simple key expect",
        "a line that should be `key: value` has no colon",
        "write a colon and a space after the key",
    ),
    (
        "unclosed bracket",
        "a bracket that opens here is never closed",
        "close it",
    ),
    (
        "unclosed quote",
        "a quote that opens here is never closed",
        "close it",
    ),
    (
        "while parsing a quoted scalar, found unknown escape",
        "a backslash in double quotes is followed by something that YAML does not know",
        "use single quotes, or write the backslash twice",
    ),
    (
        "recursion limit exceeded",
        "values are nested deeper than in any file written by hand",
        "is this the right file?",
    ),
    (
        "alias references unknown anchor",
        "an alias (`*name`) names an anchor that is not above it",
        "write `&name` before the value that is meant, or write the value here",
    ),
    (
        "while parsing node, found unknown anchor",
        "an alias (`*name`) names an anchor that is not above it",
        "write `&name` before the value that is meant, or write the value here",
    ),
];

/// In the reader's words.
pub(super) fn explain(error: &Error) -> Words {
    let owned = |(message, remedy): (&str, &'static str)| (message.to_owned(), remedy);
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => explain(error),
        Error::Message { msg, .. } | Error::ExternalMessage { msg, .. } => scanner(msg),
        Error::Eof { .. } => owned(("the text ends in the middle of a value", "complete it")),
        Error::MultipleDocuments { .. } => owned((
            "a second document begins here",
            "keep one in a file: remove the `---` and what follows, or move it to a file of its own",
        )),
        Error::DuplicateMappingKey { key, .. } => (
            match key {
                Some(key) => format!("`{}` is given twice", shown(key)),
                None => "a key is given twice".to_owned(),
            },
            "keep one of the two",
        ),
        Error::NullIntoString { .. } => {
            owned(("a key is missing before this colon", "write the key"))
        }
        Error::Unexpected { .. } => owned((
            "a list or a mapping stands here, where a key or a single value belongs",
            "write one word",
        )),
        Error::MergeValueNotMapOrSeqOfMaps { .. } | Error::MergeKeyNotAllowed { .. } => owned((
            "`<<` takes over the keys of a mapping, and this is none",
            "write the keys themselves",
        )),
        Error::UnknownAnchor { .. } => scanner("alias references unknown anchor"),
        Error::RecursiveReferencesRequireWeakTypes { .. } => owned((
            "an alias stands inside the value that it names",
            "write the value itself",
        )),
        Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => owned((
            "the aliases (`*name`) come to more values than any file written by hand holds",
            "write the values themselves",
        )),
        Error::Budget { breach, .. } => owned(match breach {
            BudgetBreach::Depth { .. } => (
                "values are nested deeper than in any file written by hand",
                "is this the right file?",
            ),
            _ => (
                "there are more values than in any file written by hand, aliases (`*name`) counted as what they stand for",
                "is this the right file?",
            ),
        }),
        Error::NonFiniteFloat { value, .. } => (
            format!("`{}` is no number that can be used", shown(value)),
            "write a number in digits",
        ),
        Error::InvalidBinaryBase64 { .. }
        | Error::BinaryNotUtf8 { .. }
        | Error::InvalidScalar { .. }
        | Error::InvalidBooleanStrict { .. }
        | Error::UnsupportedTag { .. }
        | Error::TaggedScalarCannotDeserializeIntoString { .. } => owned((
            "the value is not what its tag (`!...`) says",
            "leave the tag out; nothing here needs one",
        )),
        Error::FoldedBlockScalarMustIndentContent { .. } | Error::IndentationError { .. } => {
            owned((
                "the indentation does not fit",
                "indent like the lines around it",
            ))
        }
        _ => owned((
            "this is YAML of a kind that is not read here",
            "write it as plain `key: value` lines and lists",
        )),
    }
}

fn scanner(said: &str) -> Words {
    if let Some(rest) = said.strip_prefix("unexpected character: `") {
        let character = rest.trim_end_matches('\'');
        return if character.starts_with('\\') {
            (
                "a control character stands here".to_owned(),
                "remove it, or type the line anew",
            )
        } else {
            (
                format!("a value cannot begin with `{}`", shown(character)),
                "put it in quotes",
            )
        };
    }
    for (begins, meaning, remedy) in SCANNER {
        if said.starts_with(begins) {
            return ((*meaning).to_owned(), remedy);
        }
    }
    (
        format!("this is not YAML ({})", shown(said)),
        "correct it at this place, or in the line before",
    )
}
