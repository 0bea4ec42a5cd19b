//! QEMU audio (-259): what a client may ask for.

use crate::error::ProtocolError;

/// How one sample is stored; little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleFormat {
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    S8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    S16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    S32,
}

impl SampleFormat {
    const ALL: [Self; 6] = [Self::U8, Self::S8, Self::U16, Self::S16, Self::U32, Self::S32];

    /// Its number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::U8 => 0,
            Self::S8 => 1,
            Self::U16 => 2,
            Self::S16 => 3,
            Self::U32 => 4,
            Self::S32 => 5,
        }
    }
}

/// A stream of samples. Without a request it is signed 16 bits, stereo, 44,100 Hz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioFormat {
    /// One sample.
    pub sample: SampleFormat,
    /// Channels, 1 or 2, interleaved.
    pub channels: u8,
    /// Samples a second and channel, 1 to 384,000.
    pub hz: u32,
}

impl Default for AudioFormat {
    fn default() -> Self {
        Self { sample: SampleFormat::S16, channels: 2, hz: 44_100 }
    }
}

impl AudioFormat {
    /// Checks what a client asks for.
    ///
    /// # Errors
    ///
    /// An unknown sample format, 0 or more than 2 channels, or an absurd rate.
    pub fn from_wire(format: u8, channels: u8, hz: u32) -> Result<Self, ProtocolError> {
        let known = SampleFormat::ALL.get(usize::from(format));
        match known {
            Some(&sample) if (1..=2).contains(&channels) && (1..=384_000).contains(&hz) => {
                Ok(Self { sample, channels, hz })
            }
            _ => Err(ProtocolError::AudioFormat { format, channels, hz }),
        }
    }
}

/// What a client asks about sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioRequest {
    /// Send sound from now on.
    Enable,
    /// Send none.
    Disable,
    /// Send it in this format.
    SetFormat(AudioFormat),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_formats_that_exist_are_taken() {
        for sample in SampleFormat::ALL {
            let format = AudioFormat { sample, channels: 1, hz: 48_000 };
            assert_eq!(AudioFormat::from_wire(sample.number(), 1, 48_000), Ok(format));
        }
        for (format, channels, hz) in [(6, 2, 44_100), (3, 0, 44_100), (3, 3, 44_100), (3, 2, 0), (3, 2, 384_001)] {
            assert!(AudioFormat::from_wire(format, channels, hz).is_err());
        }
    }
}
