//! Published devices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Imperfections;
use super::drift::{Drift, DriftLaw};
use super::fabrication::{Fabrication, Mismatch};
use super::programming::{Programming, Remainder, StepLaw, UpdateRule, WriteNoise};

/// A table of imperfections from the literature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// No imperfection at all.
    Ideal,
    /// Mixed-signal CMOS neurons: 10 % mismatch of every parameter of neurons and synapses.
    Cmos,
    /// Phase-change memory: write noise, drift and read noise.
    Pcm,
    /// Resistive memory of Wan et al.: write noise.
    #[serde(alias = "rram-wan")]
    RramWan,
    /// Resistive memory of Milo et al.: write noise.
    #[serde(alias = "rram-milo")]
    RramMilo,
    /// Conductive-metal-oxide/HfOx memory of Falcone et al.: write noise.
    #[serde(alias = "cmo-hfox")]
    CmoHfox,
    /// Lithium electrochemical memory of Tang et al.: update by steps.
    Ecram,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ideal, Self::Cmos, Self::Pcm, Self::RramWan, Self::RramMilo, Self::CmoHfox, Self::Ecram];

    /// The name in experiment files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ideal => "ideal",
            Self::Cmos => "cmos",
            Self::Pcm => "pcm",
            Self::RramWan => "rram_wan",
            Self::RramMilo => "rram_milo",
            Self::CmoHfox => "cmo_hfox",
            Self::Ecram => "ecram",
        }
    }

    /// Where the numbers come from.
    #[must_use]
    pub fn citation(self) -> &'static str {
        match self {
            Self::Ideal => "no source: nothing is imperfect",
            Self::Cmos => {
                "parameter mismatch up to 30 % (three standard deviations), the default of Rockpool's mismatch \
                 transformation for DYNAP-SE2; compare Büchel, Zendrikov, Solinas et al., Supervised training of spiking \
                 neural networks for robust deployment on mixed-signal neuromorphic processors, 2021, arXiv:2102.06408"
            }
            Self::Pcm => {
                "Nandakumar, Boybat, Joshi et al., Phase-change memory models for deep learning training and inference, \
                 IEEE ICECS 2019, 727-730; measured on the array of Joshi et al., Nature Communications 11, 2473 (2020); \
                 coefficients as in aihwkit"
            }
            Self::RramWan => {
                "Wan, Kubendran, Schaefer et al., A compute-in-memory chip based on resistive random-access memory, \
                 Nature 608, 504-512 (2022), doi:10.1038/s41586-022-04992-8; Extended Data Fig. 3 at 1 s, cubic fit of \
                 CrossSim"
            }
            Self::RramMilo => {
                "Milo et al., Optimized programming algorithms for multilevel RRAM in hardware neural networks, IEEE IRPS \
                 2021; Fig. 4 (IGVVA-100), linear fit of CrossSim"
            }
            Self::CmoHfox => {
                "Falcone, Clerico, Choi et al., All-in-One Analog AI Accelerator: On-Chip Training and Inference with \
                 Conductive-Metal-Oxide/HfOx ReRAM Devices, 2025, arXiv:2502.04524; 2 % acceptance, coefficients as in \
                 aihwkit"
            }
            Self::Ecram => {
                "Tang et al., IEDM 2018, as fitted in aihwkit: step, device spread and cycle spread; its slopes and shifted \
                 bounds are left out"
            }
        }
    }

    /// The table, its name included.
    #[must_use]
    pub fn imperfections(self) -> Imperfections {
        let table = Imperfections { preset: Some(self), ..Imperfections::default() };
        let programming = |[g_min, g_max]: [f64; 2], noise| {
            Some(Programming { g_min, g_max, noise: Some(noise), ..Programming::default() })
        };
        match self {
            Self::Ideal => table,
            Self::Cmos => {
                let mismatch = Some(Mismatch::normal(0.1));
                // Thresholds in units of the potential, in which they are of order one; a synapse and its partner in the other
                // direction are two circuits.
                let fabrication = Fabrication {
                    gain: mismatch,
                    offset: mismatch,
                    tau: mismatch,
                    input: mismatch,
                    weight: mismatch,
                    feedback: mismatch,
                    ..Fabrication::default()
                };
                Imperfections { fabrication: Some(fabrication), ..table }
            }
            Self::Pcm => Imperfections {
                programming: programming([0.0, 25.0], WriteNoise::Pcm),
                drift: Some(Drift { seconds: 20.0, law: Some(DriftLaw::Pcm), leak: None }),
                ..table
            },
            Self::RramWan => {
                Imperfections { programming: programming([0.0, 39.0], WriteNoise::RramWan), ..table }
            }
            Self::RramMilo => {
                Imperfections { programming: programming([50.0, 225.0], WriteNoise::RramMilo), ..table }
            }
            Self::CmoHfox => {
                Imperfections { programming: programming([9.0, 88.2], WriteNoise::CmoHfox), ..table }
            }
            Self::Ecram => {
                let update = UpdateRule {
                    step: 0.002,
                    asymmetry: 0.0,
                    law: StepLaw::Constant,
                    device_spread: 0.1,
                    cycle_spread: 0.3,
                    remainder: Remainder::Stochastic,
                };
                let weight_max = Some(1.0);
                let programming = Programming { weight_max, update: Some(update), ..Programming::default() };
                Imperfections { programming: Some(programming), ..table }
            }
        }
    }
}
