//! Where states are computed: on this processor, or on a GPU of a program that was built for one.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where states are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceSpec {
    /// On the processor.
    #[default]
    Cpu,
    /// On the GPU of that number, as `holograd devices` counts them.
    Gpu(usize),
}

const LEGAL: &str = "\"cpu\", \"gpu\", or \"gpu:N\" with a number that `holograd devices` lists";

impl DeviceSpec {
    /// Whether it is the processor.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        *self == Self::Cpu
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(index) => write!(f, "gpu:{index}"),
        }
    }
}

impl Serialize for DeviceSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = DeviceSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(LEGAL)
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<DeviceSpec, E> {
                let number = |text: &str| {
                    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
                };
                let device = match name.split_once(':') {
                    None if name == "cpu" => Some(DeviceSpec::Cpu),
                    None if name == "gpu" => Some(DeviceSpec::Gpu(0)),
                    Some(("gpu", index)) => number(index).map(DeviceSpec::Gpu),
                    _ => None,
                };
                device.ok_or_else(|| E::invalid_value(Unexpected::Str(name), &self))
            }
        }

        deserializer.deserialize_str(Name)
    }
}

impl JsonSchema for DeviceSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DeviceSpec".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(cpu|gpu(:[0-9]+)?)$" })
    }
}

/// A GPU that is open.
#[derive(Clone)]
pub struct Gpu {
    #[cfg(feature = "gpu")]
    device: std::sync::Arc<holograd_gpu::Device>,
    #[cfg(not(feature = "gpu"))]
    none: std::convert::Infallible,
}

#[cfg(feature = "gpu")]
mod open {
    use std::sync::{Arc, Mutex, PoisonError};

    use holograd_gpu::Device;

    use super::Gpu;
    use crate::error::Invalid;

    impl Gpu {
        /// Opens a GPU by its number. The same number is the same device for the whole process, as long as it works.
        ///
        /// # Errors
        /// Where there is none, or it does not open.
        pub fn open(index: usize) -> Result<Self, Invalid> {
            static OPEN: Mutex<Vec<(usize, Arc<Device>)>> = Mutex::new(Vec::new());
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|(_, device)| device.check().is_ok());
            if let Some((_, device)) = open.iter().find(|(number, _)| *number == index) {
                return Ok(Self { device: Arc::clone(device) });
            }
            let device = Device::open(index).map(Arc::new).map_err(|error| {
                let legal = "see `holograd devices`, or use `\"device\": \"cpu\"`";
                Invalid::new("device", error.to_string(), legal)
            })?;
            open.push((index, Arc::clone(&device)));
            Ok(Self { device })
        }

        /// Bytes that are held on it now, where its driver tells.
        #[must_use]
        pub fn held(&self) -> Option<u64> {
            self.device.held()
        }

        /// The device.
        pub(crate) fn device(&self) -> &Arc<Device> {
            &self.device
        }
    }

    impl PartialEq for Gpu {
        fn eq(&self, other: &Self) -> bool {
            Arc::ptr_eq(&self.device, &other.device)
        }
    }

    impl std::fmt::Debug for Gpu {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.device.fmt(f)
        }
    }
}

#[cfg(not(feature = "gpu"))]
mod open {
    use super::Gpu;
    use crate::error::Invalid;

    impl Gpu {
        /// Opens a GPU by its number.
        ///
        /// # Errors
        /// Always: this program was built without them.
        pub fn open(index: usize) -> Result<Self, Invalid> {
            let found = format!("found gpu:{index} in a program that was built without GPUs");
            Err(Invalid::new("device", found, "`\"cpu\"`, or build with `--features gpu`"))
        }

        /// Bytes that are held on it.
        #[must_use]
        pub fn held(&self) -> Option<u64> {
            match self.none {}
        }
    }

    impl PartialEq for Gpu {
        fn eq(&self, _: &Self) -> bool {
            match self.none {}
        }
    }

    impl std::fmt::Debug for Gpu {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self.none {}
        }
    }
}

/// What states can be computed on, a line for each.
#[must_use]
pub fn list() -> Vec<String> {
    let threads = rayon::current_num_threads();
    let mut lines = vec![format!("cpu     {threads} threads")];
    #[cfg(feature = "gpu")]
    {
        let devices = holograd_gpu::devices();
        if devices.is_empty() {
            lines.push("no GPU: no driver for one was found".to_owned());
        }
        lines.extend(devices.iter().enumerate().map(|(index, device)| {
            format!(
                "{:7} {}: {}, {}, {}; states of up to {} MiB",
                format!("gpu:{index}"),
                device.name,
                device.kind,
                device.interface,
                device.driver,
                device.largest >> 20
            )
        }));
    }
    #[cfg(not(feature = "gpu"))]
    lines.push(
        "GPUs are left out of this program: build it with `cargo build --release --features gpu`".to_owned(),
    );
    lines
}
