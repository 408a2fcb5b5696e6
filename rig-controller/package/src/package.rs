//! A firmware image made ready: its signed manifest and its plaintext.
use powercut_upgrade::m_sequence::Configuration;
use powercut_upgrade::manifest::{FragmentIndex, Manifest, SignedManifest};
use sha2::{Digest, Sha256};

/// Manifest and image, known to belong together. The signature is for the device to check: a badly signed package
/// can be served, so that it can be seen to be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    signed: SignedManifest,
    image: Vec<u8>,
    m_sequence: Option<Configuration>,
}

/// Image and manifest do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// Another length.
    #[error(
        "the manifest is of an image of {expected} bytes, the image has {found}; pack it again"
    )]
    Size {
        /// Bytes the manifest promises.
        expected: u32,
        /// Bytes there are.
        found: usize,
    },
    /// Another content.
    #[error("the image's SHA-256 is not the one in its manifest; pack it again")]
    Digest,
}

impl Package {
    /// Put a signed manifest and its image together.
    ///
    /// # Errors
    /// When the image has not the size or the digest the manifest says.
    pub fn new(signed: SignedManifest, image: Vec<u8>) -> Result<Self, PackageError> {
        let manifest = signed.manifest();
        if u32::try_from(image.len()) != Ok(manifest.size_bytes) {
            return Err(PackageError::Size {
                expected: manifest.size_bytes,
                found: image.len(),
            });
        }
        if <[u8; 32]>::from(Sha256::digest(&image)) != manifest.image_digest {
            return Err(PackageError::Digest);
        }
        Ok(Self {
            signed,
            image,
            m_sequence: None,
        })
    }

    /// The same package, to be encrypted with this register if it is of the suite `m-sequence`: one for all devices.
    #[must_use]
    pub fn with_m_sequence(self, configuration: Option<Configuration>) -> Self {
        Self {
            m_sequence: configuration,
            ..self
        }
    }

    /// What it is encrypted with in the suite `m-sequence`, if that is known.
    pub fn m_sequence(&self) -> Option<Configuration> {
        self.m_sequence
    }

    /// The manifest as devices get it.
    pub fn signed(&self) -> &SignedManifest {
        &self.signed
    }

    /// The facts about the image.
    pub fn manifest(&self) -> &Manifest {
        self.signed.manifest()
    }

    /// The whole image.
    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// Plaintext of one fragment; `None` beyond the last.
    pub fn fragment(&self, index: FragmentIndex) -> Option<&[u8]> {
        let manifest = self.manifest();
        if index.0 >= manifest.fragments() {
            return None;
        }
        let start = manifest.fragment_offset(index) as usize;
        self.image.get(start..start + manifest.fragment_len(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::{manifest, package};

    #[test]
    fn fragments_cover_the_image_and_no_more() {
        let package = package(7, 1000, 160);
        let lengths: Vec<usize> = (0..8)
            .map_while(|n| package.fragment(FragmentIndex(n)).map(<[u8]>::len))
            .collect();
        assert_eq!(lengths, [160, 160, 160, 160, 160, 160, 40]);
        assert_eq!(package.fragment(FragmentIndex(u16::MAX)), None);
    }

    #[test]
    fn an_image_of_another_length_or_content_is_refused() {
        let signed = SignedManifest::new(manifest(&[1; 100], 32), [0; 64]);
        assert_eq!(
            Package::new(signed, vec![1; 99]),
            Err(PackageError::Size {
                expected: 100,
                found: 99
            })
        );
        assert_eq!(
            Package::new(signed, vec![2; 100]),
            Err(PackageError::Digest)
        );
    }
}
