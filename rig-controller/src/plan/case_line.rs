//! A case as one line that can be pasted back: `smoke:7:mb-1:seed=20261122:cuts=f17/after-data/half,op3121`.
use std::fmt;
use std::str::FromStr;

use super::cut::Cut;
use powercut_document::is_name;

/// Everything that determines a case, given the plan file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseLine {
    /// The plan's name.
    pub plan: String,
    /// The case's number in it, from 1.
    pub index: usize,
    /// The board it ran on.
    pub board: String,
    /// The seed of the plan, from which that of the case follows.
    pub seed: u64,
    /// The cuts.
    pub cuts: LineCuts,
}

/// The cuts of a case line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineCuts {
    /// Exactly these, in order.
    Given(Vec<Cut>),
    /// Those of the plan, drawn from and checked against a reference run: of a case that ended before its cuts were known.
    AsPlanned,
}

impl LineCuts {
    const AS_PLANNED: &str = "as-planned";

    /// The cuts, if they are known.
    pub fn given(&self) -> Option<&[Cut]> {
        match self {
            Self::Given(cuts) => Some(cuts),
            Self::AsPlanned => None,
        }
    }
}

impl fmt::Display for LineCuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Given(cuts) = self else {
            return f.write_str(Self::AS_PLANNED);
        };
        if cuts.is_empty() {
            return f.write_str("none");
        }
        for (position, cut) in cuts.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{cut}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CaseLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plan,
            index,
            board,
            seed,
            cuts,
        } = self;
        write!(f, "{plan}:{index}:{board}:seed={seed}:cuts={cuts}")
    }
}

/// A text is no case line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a case: {reason}; a case looks like smoke:7:mb-1:seed=20261122:cuts=f17/after-data/half,op3121", .text.escape_debug())]
pub struct ParseCaseLineError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for CaseLine {
    type Err = ParseCaseLineError;

    fn from_str(text: &str) -> Result<Self, ParseCaseLineError> {
        parse(text).map_err(|reason| ParseCaseLineError {
            text: text.to_owned(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<CaseLine, String> {
    // The cuts come last because they may hold colons themselves.
    let parts: Vec<&str> = text.splitn(5, ':').collect();
    let &[plan, index, board, seed, cuts] = parts.as_slice() else {
        return Err(format!(
            "it has {} of the 5 parts plan:index:board:seed=..:cuts=..",
            parts.len()
        ));
    };
    for (what, name) in [("plan", plan), ("board", board)] {
        if !is_name(name) {
            return Err(format!("`{}` is no name of a {what}", name.escape_debug()));
        }
    }
    let index = index
        .parse()
        .ok()
        .filter(|index| *index > 0)
        .ok_or_else(|| {
            format!(
                "`{}` is no case number; they start at 1",
                index.escape_debug()
            )
        })?;
    let seed = seed
        .strip_prefix("seed=")
        .ok_or("the fourth part is not seed=NUMBER")?;
    let seed = seed
        .parse()
        .map_err(|_| format!("`{}` is no seed", seed.escape_debug()))?;
    let cuts = cuts
        .strip_prefix("cuts=")
        .ok_or("the fifth part is not cuts=...")?;
    let cuts = match cuts {
        "none" => LineCuts::Given(Vec::new()),
        LineCuts::AS_PLANNED => LineCuts::AsPlanned,
        cuts => LineCuts::Given(
            cuts.split(',')
                .map(|cut| cut.parse::<Cut>().map_err(|error| error.to_string()))
                .collect::<Result<_, _>>()?,
        ),
    };
    Ok(CaseLine {
        plan: plan.to_owned(),
        index,
        board: board.to_owned(),
        seed,
        cuts,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cut::tests::any_cut;
    use super::*;

    proptest! {
        #[test]
        fn a_case_reads_back_from_its_own_line(
            plan in "[a-z][a-z0-9-]{0,8}",
            board in "[a-z][a-z0-9._-]{0,8}",
            index in 1usize..,
            seed: u64,
            cuts in prop::option::of(prop::collection::vec(any_cut(), 0..4)),
        ) {
            let cuts = cuts.map_or(LineCuts::AsPlanned, LineCuts::Given);
            let line = CaseLine { plan, index, board, seed, cuts };
            prop_assert_eq!(line.to_string().parse::<CaseLine>(), Ok(line));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<CaseLine>();
        }
    }

    #[test]
    fn the_documented_line_reads_as_it_says() {
        let text = "smoke:7:mb-1:seed=20261122:cuts=f17/after-data/half,op3121";
        let line: CaseLine = text.parse().unwrap();
        assert_eq!((line.index, line.seed), (7, 20_261_122));
        assert_eq!(line.cuts.given().map(<[Cut]>::len), Some(2));
        assert_eq!(line.to_string(), text);
        let uncut: CaseLine = "smoke:7:mb-1:seed=1:cuts=none".parse().unwrap();
        assert_eq!(uncut.cuts, LineCuts::Given(Vec::new()));
        let planned: CaseLine = "smoke:7:mb-1:seed=1:cuts=as-planned".parse().unwrap();
        assert_eq!(planned.cuts, LineCuts::AsPlanned);
    }

    #[test]
    fn each_broken_part_is_named() {
        for (text, reason) in [
            ("smoke:7", "2 of the 5 parts"),
            ("../x:7:mb-1:seed=1:cuts=none", "no name of a plan"),
            ("smoke:0:mb-1:seed=1:cuts=none", "start at 1"),
            ("smoke:1:mb 1:seed=1:cuts=none", "no name of a board"),
            ("smoke:1:mb-1:sed=1:cuts=none", "not seed=NUMBER"),
            ("smoke:1:mb-1:seed=-1:cuts=none", "`-1` is no seed"),
            ("smoke:1:mb-1:seed=1:cut=none", "not cuts="),
            ("smoke:1:mb-1:seed=1:cuts=", "`` is not a cut"),
            ("smoke:1:mb-1:seed=1:cuts=op1,", "`` is not a cut"),
        ] {
            let error = text.parse::<CaseLine>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
