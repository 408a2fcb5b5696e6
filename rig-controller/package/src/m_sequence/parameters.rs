//! Polynomial, seed and stream as a person writes them, in YAML or on the command line, checked: a polynomial has to be
//! primitive, or the keystream would repeat earlier than it must.
use std::path::Path;

use powercut_upgrade::m_sequence::{Configuration, Polynomial, Register, Stream};
use serde::{Deserialize, Serialize};

use crate::FirmwareError;

/// A configuration that was checked. In YAML: `{ polynomial: [32, 30, 26, 25], seed: 0x1D872B41, stream: continuous }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Parameters(Configuration);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    polynomial: Vec<u8>,
    seed: u32,
    stream: WrittenStream,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenStream {
    PerFragment,
    Continuous,
}

/// What was written is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// The exponents.
    #[error(
        "exponents [{}] are no polynomial of degree 7 to 32; give each once, without the 0, such as [32, 30, 26, 25]",
        .0.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
    )]
    NoPolynomial(Vec<u8>),
    /// The polynomial has a shorter period.
    #[error(
        "{0} is not primitive, so its keystream repeats early; take one of fixtures/m-sequence/polynomials.txt"
    )]
    NotPrimitive(Polynomial),
    /// The seed.
    #[error(
        "seed {seed:#x} does not fit a register of {stages} stages; it must be from 1 to 2^{stages} - 1"
    )]
    Seed {
        /// What was given.
        seed: u32,
        /// How long the register is.
        stages: u32,
    },
}

impl Parameters {
    /// Checks exponents, without the 0, and seed.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(exponents: &[u8], seed: u32, stream: Stream) -> Result<Self, ParametersError> {
        let polynomial = Polynomial::from_exponents(exponents)
            .ok_or_else(|| ParametersError::NoPolynomial(exponents.to_owned()))?;
        if !polynomial.is_primitive() {
            return Err(ParametersError::NotPrimitive(polynomial));
        }
        let register = Register::new(polynomial, seed).ok_or(ParametersError::Seed {
            seed,
            stages: polynomial.stages(),
        })?;
        Ok(Self(Configuration { register, stream }))
    }

    /// Reads a YAML file.
    ///
    /// # Errors
    /// When it cannot be read, or what is wrong in which line.
    pub fn load(path: &Path) -> Result<Self, FirmwareError> {
        let text = crate::read_text(path)?;
        let wrong = |line: usize, reason: &str| FirmwareError::Line {
            path: path.to_owned(),
            line,
            reason: format!("{reason}; fixtures/m-sequence/device.yaml shows how it is written"),
        };
        // Of a file that is something else nothing is repeated: it may be a key.
        let is_mapping = serde_yaml::from_slice::<serde_yaml::Value>(&text)
            .is_ok_and(|value| value.is_mapping());
        if !is_mapping {
            return Err(wrong(1, "this is no register of the suite m-sequence"));
        }
        serde_yaml::from_slice(&text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            wrong(
                line,
                &powercut_document::words::in_words(&error.to_string()),
            )
        })
    }

    /// What the core takes.
    pub fn configuration(self) -> Configuration {
        self.0
    }
}

impl TryFrom<Written> for Parameters {
    type Error = ParametersError;

    fn try_from(written: Written) -> Result<Self, ParametersError> {
        let stream = match written.stream {
            WrittenStream::PerFragment => Stream::RestartsPerFragment,
            WrittenStream::Continuous => Stream::Continuous,
        };
        Self::new(&written.polynomial, written.seed, stream)
    }
}

impl From<Parameters> for Written {
    fn from(Parameters(Configuration { register, stream }): Parameters) -> Self {
        Self {
            polynomial: register.polynomial().exponents().collect(),
            seed: register.state(),
            stream: match stream {
                Stream::RestartsPerFragment => WrittenStream::PerFragment,
                Stream::Continuous => WrittenStream::Continuous,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Parameters, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yaml");
        std::fs::write(&path, text).unwrap();
        Parameters::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_reads_back() {
        let parameters = Parameters::new(&[7, 6], 0x55, Stream::RestartsPerFragment).unwrap();
        let text = serde_yaml::to_string(&parameters).unwrap();
        assert_eq!(
            text,
            "polynomial:\n- 7\n- 6\nseed: 85\nstream: per-fragment\n"
        );
        assert_eq!(read(&text), Ok(parameters));
    }

    #[test]
    fn the_parameters_of_the_test_firmware_can_be_used() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/m-sequence/device.yaml");
        let configuration = Parameters::load(&path).unwrap().configuration();
        assert_eq!(configuration.register.polynomial().stages(), 32);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write_instead() {
        for (text, expected) in [
            (
                "polynomial: [8, 4]\nseed: 1\nstream: continuous\n",
                "x^8 + x^4 + 1 is not primitive",
            ),
            (
                "polynomial: [6, 5]\nseed: 1\nstream: continuous\n",
                "exponents [6, 5] are no polynomial of degree 7 to 32",
            ),
            (
                "polynomial: [7, 6]\nseed: 0x80\nstream: continuous\n",
                "seed 0x80 does not fit a register of 7 stages",
            ),
            (
                "polynomial: [7, 6]\nseed: 1\nstream: steady\n",
                "p.yaml:3: ",
            ),
            (
                "polynomial: [7, 6]\nsede: 1\nstream: continuous\n",
                "p.yaml:2: ",
            ),
        ] {
            let complaint = read(text).unwrap_err();
            assert!(complaint.contains(expected), "{complaint}");
        }
    }
}
