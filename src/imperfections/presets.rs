//! Published devices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Imperfections;
use super::drift::{Drift, DriftLaw};
use super::fabrication::{Fabrication, Mismatch};
use super::programming::{Programming, WriteNoise};
use super::update::{Bounds, CycleNoise, StepLaw, UpdateRule};

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
    /// The same with steps that depend on the conductance, and its shifted range.
    #[serde(alias = "ecram-linear")]
    EcramLinear,
    /// Resistive memory of Gong et al.: exponential steps.
    #[serde(alias = "reram-es")]
    ReramEs,
    /// Resistive memory of Gong et al.: soft bounds.
    #[serde(alias = "reram-sb")]
    ReramSb,
    /// Capacitor cell of Li et al.: linear steps.
    Capacitor,
    /// The specifications of Gokmen and Vlasov: constant steps.
    #[serde(alias = "gokmen-vlasov")]
    GokmenVlasov,
    /// The same with finer steps that are symmetric: constant steps.
    Idealized,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Ideal,
        Self::Cmos,
        Self::Pcm,
        Self::RramWan,
        Self::RramMilo,
        Self::CmoHfox,
        Self::Ecram,
        Self::EcramLinear,
        Self::ReramEs,
        Self::ReramSb,
        Self::Capacitor,
        Self::GokmenVlasov,
        Self::Idealized,
    ];

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
            Self::EcramLinear => "ecram_linear",
            Self::ReramEs => "reram_es",
            Self::ReramSb => "reram_sb",
            Self::Capacitor => "capacitor",
            Self::GokmenVlasov => "gokmen_vlasov",
            Self::Idealized => "idealized",
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
            Self::EcramLinear => {
                "Tang et al., IEDM 2018, doi:10.1109/IEDM.2018.8614551; fit of aihwkit (EcRamPresetDevice, linear step)"
            }
            Self::ReramEs => {
                "Gong et al., Signal and noise extraction from analog memory elements for neuromorphic computing, Nature \
                 Communications 9, 2102 (2018), doi:10.1038/s41467-018-04485-1; fit of aihwkit (ReRamESPresetDevice, \
                 exponential step)"
            }
            Self::ReramSb => {
                "Gong et al., Nature Communications 9, 2102 (2018), doi:10.1038/s41467-018-04485-1; loose fit of aihwkit \
                 (ReRamSBPresetDevice, soft bounds)"
            }
            Self::Capacitor => {
                "Li et al., Capacitor-based cross-point array for analog neural network with record symmetry and linearity, \
                 IEEE Symposium on VLSI Technology 2018, doi:10.1109/VLSIT.2018.8510648; fit of aihwkit \
                 (CapacitorPresetDevice, linear step), its leak left out"
            }
            Self::GokmenVlasov => {
                "Gokmen and Vlasov, Acceleration of deep neural network training with resistive cross-point devices, Frontiers \
                 in Neuroscience 10, 333 (2016), doi:10.3389/fnins.2016.00333; as in aihwkit (GokmenVlasovPresetDevice)"
            }
            Self::Idealized => {
                "Rasch, Gokmen and Haensch, Training large-scale artificial neural networks on simulated resistive crossbar \
                 arrays, IEEE Design & Test 37 (2019), arXiv:1906.02698; as in aihwkit (IdealizedPresetDevice)"
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
                let mismatch = || Some(Mismatch::normal(0.1));
                // Thresholds in units of the potential, in which they are of order one; a synapse and its partner in the other
                // direction are two circuits.
                let fabrication = Fabrication {
                    gain: mismatch(),
                    offset: mismatch(),
                    tau: mismatch(),
                    input: mismatch(),
                    weight: mismatch(),
                    feedback: mismatch(),
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
                    device_spread: 0.1,
                    cycle_spread: 0.3,
                    ..UpdateRule::of(0.002, StepLaw::Constant)
                };
                pulsed(table, 1.0, 0.0, update)
            }
            _ => self.crossbar(table),
        }
    }

    /// The devices of aihwkit 0.9's `presets/devices.py`, in its units: the weight runs between `w_min` and `w_max`, both of which differ
    /// from device to device.
    fn crossbar(self, table: Imperfections) -> Imperfections {
        // Weights at which even a wide device ends: spreads are cut there.
        const MOST: f64 = 2.0;
        let rule = |step: f64, law, [low, high]: [f64; 2], spread, (device, asymmetry), cycle| UpdateRule {
            bounds: Some(Bounds { low: low / MOST, high: high / MOST, spread }),
            device_spread: device,
            asymmetry_spread: asymmetry,
            cycle_spread: cycle,
            ..UpdateRule::of(step / MOST, law)
        };
        let at_zero = |rule| UpdateRule { cycle_noise: CycleNoise::AtZero, ..rule };
        // σ of the weight that a write is off by.
        let (written, update) = match self {
            Self::EcramLinear => {
                let law = StepLaw::Linear { up: 0.1153, down: 0.5085, spread: 0.05 };
                (0.0, rule(0.002, law, [-0.8276, 1.1724], [0.05; 2], (0.1, 0.01), 0.3))
            }
            Self::ReramEs => {
                let law = StepLaw::ExponentialStep {
                    scale: [-0.5, -0.5],
                    up: [-1.18445, 5.0],
                    down: [-0.081_404, 5.0],
                };
                // A pulse down is 1 − 0.259359 of one up, at a step that is the mean of both.
                let down = 1.0 - 0.259_359;
                let step = 0.00135 * (1.0 + down) / 2.0;
                let rule = rule(step, law, [-1.0, 1.0], [0.3; 2], (0.2, 0.05), 5.0);
                (75.0 * 0.00135, UpdateRule { asymmetry: (1.0 - down) / (1.0 + down), ..rule })
            }
            Self::ReramSb => {
                let spread = [0.3 / 0.75, 0.3 / 1.25];
                let rule = rule(0.002, StepLaw::SoftBound, [-0.75, 1.25], spread, (0.3, 0.01), 3.75);
                (56.0 * 0.002, at_zero(rule))
            }
            Self::Capacitor => {
                let law = StepLaw::Linear { up: 0.05, down: 0.05, spread: 0.01 };
                (0.0, at_zero(rule(0.005, law, [-1.0, 1.0], [0.07; 2], (0.1, 0.06), 0.3)))
            }
            Self::GokmenVlasov => {
                (0.0, rule(0.0016, StepLaw::Constant, [-1.0, 1.0], [0.3; 2], (0.3, 0.01), 0.3))
            }
            _ => (0.0, rule(0.0002, StepLaw::Constant, [-1.0, 1.0], [0.3; 2], (0.3, 0.0), 0.3)),
        };
        pulsed(table, MOST, written, update)
    }
}

/// Devices that pulses move, on which a write is off by `written`, a standard deviation of the weight.
fn pulsed(table: Imperfections, weight_max: f64, written: f64, update: UpdateRule) -> Imperfections {
    let mut programming =
        Programming { weight_max: Some(weight_max), update: Some(update), ..Programming::default() };
    if written > 0.0 {
        // Both devices of the pair err; far enough above zero that neither is cut.
        let std = written / weight_max / std::f64::consts::SQRT_2;
        (programming.g_min, programming.g_max) = (1.0, 2.0);
        programming.noise = Some(WriteNoise::Absolute { std });
    }
    Imperfections { programming: Some(programming), ..table }
}
