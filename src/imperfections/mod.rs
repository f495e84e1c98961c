//! What makes a substrate imperfect, by when it is drawn: at fabrication, at programming, while time passes, at every instant,
//! at read-out.

pub mod device;
pub mod drift;
pub mod fabrication;
pub mod fluctuation;
pub mod instant;
pub mod measured;
pub mod memory;
pub mod noise;
pub mod presets;
mod process;
pub mod programming;
pub mod readout;
pub mod update;

use schemars::{JsonSchema, Schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use device::Device;
pub use memory::NoiseMemory;
pub use presets::Preset;

use crate::error::Invalid;
use crate::json::wording;
use crate::substrate::neurons::network::{Edge, Network, Source};
use drift::{Drift, DriftLaw, PCM_G_MAX};
use fabrication::Fabrication;
use instant::Instant;
use noise::Noise;
use programming::Programming;
use readout::ReadOut;

/// The `imperfections` field of an experiment; all off by default. A preset's name stands for its table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
#[schemars(transform = allow_presets)]
pub struct Imperfections {
    /// Published devices; fields that are null or absent are the preset's.
    pub preset: Option<Preset>,
    /// Seed of everything that is drawn once per device or per write, apart from the seed of training.
    pub device_seed: u64,
    /// What is drawn once, when the device is made.
    pub fabrication: Option<Fabrication>,
    /// What happens at each write of a weight.
    pub programming: Option<Programming>,
    /// What becomes of weights while time passes.
    pub drift: Option<Drift>,
    /// Noise on the neurons' pre-activations (`white`: on their potentials), at every instant.
    pub state_noise: Option<Noise>,
    /// Noise on the clamped inputs, which are real: one rail.
    pub input_noise: Option<Noise>,
    /// Noise of reading each synapse, in units of its weight; `equal` rails share their synapses.
    pub synapse_noise: Option<Noise>,
    /// Noise on β while the teaching signal is on, one process for each sample.
    pub teaching_noise: Option<Noise>,
    /// What the lock-in sees.
    pub readout: Option<ReadOut>,
}

impl Serialize for Imperfections {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Imperfections {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = Imperfections;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table of imperfections, or the name of a preset")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Imperfections, E> {
                let preset = Preset::deserialize(serde_json::Value::from(name)).map_err(E::custom)?;
                Ok(preset.imperfections())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Imperfections, A::Error> {
                let written = Imperfections::deserialize(MapAccessDeserializer::new(map))?;
                Ok(written.expanded())
            }
        }

        deserializer.deserialize_any(Table)
    }
}

/// Lets the schema also accept the name of a preset.
fn allow_presets(schema: &mut Schema) {
    let table = std::mem::take(schema);
    let names = Preset::ALL.map(Preset::name);
    *schema = schemars::json_schema!({
        "anyOf": [table, { "enum": names, "description": "A preset with everything at its published values." }]
    });
}

impl Imperfections {
    /// Fills what is absent from the preset, if there is one.
    #[must_use]
    pub fn expanded(self) -> Self {
        let Some(preset) = self.preset else { return self };
        let table = preset.imperfections();
        Self {
            preset: self.preset,
            device_seed: self.device_seed,
            fabrication: self.fabrication.or(table.fabrication),
            programming: self.programming.or(table.programming),
            drift: self.drift.or(table.drift),
            state_noise: self.state_noise.or(table.state_noise),
            input_noise: self.input_noise.or(table.input_noise),
            synapse_noise: self.synapse_noise.or(table.synapse_noise),
            teaching_noise: self.teaching_noise.or(table.teaching_noise),
            readout: self.readout.or(table.readout),
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        if let Some(fabrication) = &self.fabrication {
            fabrication.validate().map_err(|e| e.under("fabrication"))?;
        }
        let whole = Programming::default();
        let programming = self.programming.as_ref().unwrap_or(&whole);
        programming.validate().map_err(|e| e.under("programming"))?;
        if let Some(drift) = &self.drift {
            drift.validate().map_err(|e| e.under("drift"))?;
            if drift.law == Some(DriftLaw::Pcm) {
                let (low, high) = (("g_min", programming.g_min), ("g_max", programming.g_max));
                programming::within(low, high, [0.0, PCM_G_MAX]).map_err(|e| e.under("programming"))?;
            }
        }
        let sources = [
            ("state_noise", self.state_noise),
            ("input_noise", self.input_noise),
            ("synapse_noise", self.synapse_noise),
            ("teaching_noise", self.teaching_noise),
        ];
        for (name, noise) in sources {
            let Some(noise) = noise else { continue };
            noise.validate().map_err(|e| e.under(name))?;
        }
        if let Some(Noise::Telegraph { .. }) = self.synapse_noise {
            let legal = "many synapses' telegraph signals add up to 1/f noise: use one_over_f";
            return Err(Invalid::new("synapse_noise", "found a telegraph signal", legal));
        }
        self.readout.map_or(Ok(()), |readout| readout.validate().map_err(|e| e.under("readout")))
    }

    /// Checks that a GPU knows what acts at every instant.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn suit_gpu(&self) -> Result<(), Invalid> {
        let Some(instant) = self.instant() else { return Ok(()) };
        let legal = "white `state_noise`, or `\"device\": \"cpu\"`";
        let others = [
            ("input_noise", instant.input),
            ("synapse_noise", instant.synapse),
            ("teaching_noise", instant.teaching),
            ("state_noise", instant.state.filter(|noise| !matches!(noise, Noise::White { .. }))),
        ];
        match others.into_iter().find(|(_, noise)| noise.is_some()) {
            Some((name, _)) => Err(Invalid::new(name, "found noise that is not computed on a GPU", legal)),
            None => Ok(()),
        }
    }

    /// Checks that the network has a place for what is imperfect.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn suit(&self, network: &Network) -> Result<(), Invalid> {
        if network.has_equations() && self.state_noise.is_some_and(Noise::is_white) {
            let legal = "white noise is known for -u + I: use ornstein_uhlenbeck or held noise, which acts on the current";
            return Err(Invalid::new("state_noise", "found white noise with neurons by equation", legal));
        }
        self.suit_parameters(network)?;
        if self.synapse_noise.is_some() && !network.delays().is_empty() {
            let legal = "noise of synapses is known for what arrives at once: use state_noise, or leave out every `delay`";
            return Err(Invalid::new("synapse_noise", "found it with a delay of a connection", legal));
        }
        let Some(edge) = network.shared() else { return Ok(()) };
        let name = &network.shapes()[edge.weight].name;
        let found = format!("found it with the kernel `{name}`");
        let whole = Fabrication::default();
        let fabrication = self.fabrication.as_ref().unwrap_or(&whole);
        if fabrication.gain.is_some() || fabrication.input.is_some() {
            let part = if fabrication.gain.is_some() { "gain" } else { "input" };
            let legal =
                "a kernel's weights serve many synapses and cannot hold a factor of each: leave it out";
            return Err(Invalid::new(format!("fabrication.{part}"), found, legal));
        }
        let unrolled = network.edges.iter().find(|edge| edge.interaction.copies() > 1);
        let update = self.programming.as_ref().and_then(|programming| programming.update.as_ref());
        if let (Some(edge), Some(_)) = (unrolled, update) {
            let found = format!("found it with the unrolled kernel `{}`", network.shapes()[edge.weight].name);
            let legal = "pulses move one device for each weight: shared devices, or no rule of updates";
            return Err(Invalid::new("programming.update", found, legal));
        }
        if self.synapse_noise.is_some() {
            let legal = "noise of synapses is known for dense and sparse connections: use state_noise";
            return Err(Invalid::new("synapse_noise", found, legal));
        }
        let pooled = |edge: &&Edge| edge.from == Source::Input && !edge.interaction.is_linear();
        if let Some(edge) = network.edges.iter().find(pooled).filter(|_| self.input_noise.is_some()) {
            let found = format!("found it with the pooling of `{}`", network.shapes()[edge.weight].name);
            let legal = "noise of inputs is added to a linear drive: use average pooling, or state_noise";
            return Err(Invalid::new("input_noise", found, legal));
        }
        Ok(())
    }

    /// Checks that there are the parameters of neurons that a mismatch is of.
    fn suit_parameters(&self, network: &Network) -> Result<(), Invalid> {
        for (layer, parameters) in self.fabrication.iter().flat_map(|f| &f.parameters) {
            let found = network.layers.iter().find(|other| other.name == *layer);
            let Some((neuron, size)) = found.and_then(|l| Some((l.equations.as_ref()?, l.size))) else {
                let own: Vec<&str> = network
                    .layers
                    .iter()
                    .filter(|l| l.equations.is_some())
                    .map(|l| l.name.as_str())
                    .collect();
                let legal = if own.is_empty() {
                    "a network with neurons by equation or parasitics".to_owned()
                } else {
                    format!("layers with neurons by equation or parasitics: {}", own.join(", "))
                };
                let path = format!("fabrication.parameters.{layer}");
                return Err(Invalid::new(path, format!("found {layer:?}"), legal));
            };
            let names = || neuron.parameters().keys().map(String::as_str);
            if let Some(name) = parameters.keys().find(|name| !neuron.parameters().contains_key(*name)) {
                let legal = format!("a parameter of its neurons: {}", names().collect::<Vec<_>>().join(", "));
                let legal = wording::suggest(name, names(), &legal);
                let path = format!("fabrication.parameters.{layer}.{name}");
                return Err(Invalid::new(path, format!("found {name:?}"), legal));
            }
            let ones = |name: &str, _| parameters.contains_key(name).then(|| vec![1.0; size]);
            neuron.with_factors(size, ones).map_err(|error| {
                Invalid::new(format!("fabrication.parameters.{layer}"), error.found, error.legal)
            })?;
        }
        Ok(())
    }

    /// What acts while a trajectory runs, if anything does.
    #[must_use]
    pub fn instant(&self) -> Option<Instant> {
        let instant = Instant {
            state: self.state_noise,
            input: self.input_noise,
            synapse: self.synapse_noise,
            teaching: self.teaching_noise,
            readout: self.readout,
            device_seed: self.device_seed,
        };
        (instant.is_noisy() || instant.readout.is_some()).then_some(instant)
    }

    /// Whether time constants differ from their nominal values, or may through parameters of neurons.
    #[must_use]
    pub fn spreads_tau(&self) -> bool {
        if self.fabrication.as_ref().is_some_and(|f| !f.parameters.is_empty()) {
            return true;
        }
        self.fabrication.as_ref().and_then(|f| f.tau.as_ref()).is_some_and(|tau| tau.spread() > 0.0)
    }
}
