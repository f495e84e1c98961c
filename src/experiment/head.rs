//! What experiments of several kinds say alike: fields of one name, type, text and default, written once.

use std::collections::BTreeMap;

use super::spec::{ModelRef, Precision};
use crate::data::DataSpec;
use crate::host::device::DeviceSpec;
use crate::learning::Schedule;

/// What is asked of the description of any kind, whichever of the shared fields it has.
pub trait Head {
    /// The model, by path or written out.
    fn model_mut(&mut self) -> &mut ModelRef;

    /// The parameter file, then the batch file, by path relative to the experiment.
    fn files_mut(&mut self) -> Vec<&mut String> {
        Vec::new()
    }

    /// The file of published results, by path relative to the experiment.
    fn published_mut(&mut self) -> Option<&mut String> {
        None
    }

    /// The seed; 0 where nothing is drawn.
    fn seed(&self) -> u64 {
        0
    }

    /// The sample of the batch that it is about, if it is about one.
    fn sample(&self) -> Option<usize> {
        None
    }

    /// The precision in which its parameters and samples are read.
    fn precision(&self) -> Precision {
        Precision::F64
    }

    /// Where its states are computed.
    fn device(&self) -> DeviceSpec {
        DeviceSpec::Cpu
    }

    /// What is learnt from, where it is data and no file of samples.
    fn data(&self) -> Option<&DataSpec> {
        None
    }

    /// The same, to change; of a sweep, what its points start from.
    fn data_mut(&mut self) -> Option<&mut DataSpec> {
        None
    }

    /// Factors on the learning rate by what it is of: a connection (`h1-h2`), a layer (its bias) or `readout`.
    fn learning_rates(&self) -> Option<&BTreeMap<String, f64>> {
        None
    }

    /// Epochs in all, and how its learning rate goes with them, where it learns in epochs and can go on after each.
    fn epochs(&self) -> Option<(u64, Schedule)> {
        None
    }
}

/// A path, or perhaps one.
pub trait MaybePath {
    /// The path, if there is one.
    fn path_mut(&mut self) -> Option<&mut String>;
}

impl MaybePath for String {
    fn path_mut(&mut self) -> Option<&mut String> {
        Some(self)
    }
}

impl MaybePath for Option<String> {
    fn path_mut(&mut self) -> Option<&mut String> {
        self.as_mut()
    }
}

/// Writes the description of a kind, a struct that is read strictly, and its [`Head`].
///
/// Between its own fields, which are written out, it names the shared ones: `description`, `notes`, `published`, `model`,
/// `parameters`, `parameters?` (drawn from the seed where left out), `batch`, `seed`, `sample`, `precision = single` or `double`,
/// `device`, `data`, `form`, `learning_rates`, and `schedule` with `epochs`. A text above `model`, `parameters?` or `data` stands in the place
/// of the shared one; above `seed`, `sample`, `learning_rates`, `schedule` and `epochs` each kind writes its own. Fields are read,
/// written and listed in this order. What stands behind the struct is part of its [`Head`].
///
/// Field by field: the struct cannot be put together of parts, as `deny_unknown_fields` and `flatten` exclude each other, and so do
/// `flatten` and messages that know their path.
macro_rules! spec {
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] description, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            /// One line, which `holograd list` shows.
            #[serde(default)]
            pub description: String,
        ] $files [$($head)*] $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] notes, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            /// What differs from published results, and why; the page of results shows it.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            pub notes: String,
        ] $files [$($head)*] $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] published, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            /// Path of a file of published results, which are drawn beside these.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub published: Option<String>,
        ] $files [$($head)*
            fn published_mut(&mut self) -> Option<&mut String> {
                self.published.as_mut()
            }
        ] $($rest)* }
    };
    (@ $of:tt $done:tt $files:tt $head:tt model, $($rest:tt)*) => {
        spec! { @ $of $done $files $head
            /// The network.
            model, $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] $(#[$text:meta])+ model, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            $(#[$text])+
            pub model: $crate::experiment::spec::ModelRef,
        ] $files [$($head)*
            fn model_mut(&mut self) -> &mut $crate::experiment::spec::ModelRef {
                &mut self.model
            }
        ] $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] [$($file:ident)*] $head:tt parameters, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            /// Path of the parameter file.
            pub parameters: String,
        ] [$($file)* parameters] $head $($rest)* }
    };
    (@ $of:tt $done:tt $files:tt $head:tt parameters?, $($rest:tt)*) => {
        spec! { @ $of $done $files $head
            /// Path of a file with the initial parameters; without it they are drawn from the seed.
            parameters?, $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] [$($file:ident)*] $head:tt $(#[$text:meta])+ parameters?, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            $(#[$text])+
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub parameters: Option<String>,
        ] [$($file)* parameters] $head $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] [$($file:ident)*] $head:tt batch, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            /// Path of the batch file: samples `x` and labels or targets `y`.
            pub batch: String,
        ] [$($file)* batch] $head $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] $(#[$text:meta])+ seed, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            $(#[$text])+
            #[serde(default)]
            pub seed: u64,
        ] $files [$($head)*
            fn seed(&self) -> u64 {
                self.seed
            }
        ] $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] $(#[$text:meta])+ sample, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            $(#[$text])+
            #[serde(default)]
            pub sample: usize,
        ] $files [$($head)*
            fn sample(&self) -> Option<usize> {
                Some(self.sample)
            }
        ] $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] precision = single, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            /// Precision of the simulation.
            #[serde(default = "crate::experiment::spec::single")]
        ] $files [$($head)*] (precision) $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] precision = double, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            /// Precision of the simulation.
            #[serde(default = "crate::experiment::spec::double")]
        ] $files [$($head)*] (precision) $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] (precision) $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            pub precision: $crate::experiment::spec::Precision,
        ] $files [$($head)*
            fn precision(&self) -> $crate::experiment::spec::Precision {
                self.precision
            }
        ] $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] device, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            /// Where states are computed: `cpu`, also where it is left out; `gpu`, or `gpu:N` for one of several that `holograd devices` lists,
            /// in single precision and equal to the processor's up to rounding.
            #[serde(default, skip_serializing_if = "crate::host::device::DeviceSpec::is_cpu")]
            pub device: $crate::host::device::DeviceSpec,
        ] $files [$($head)*
            fn device(&self) -> $crate::host::device::DeviceSpec {
                self.device
            }
        ] $($rest)* }
    };
    (@ $of:tt $done:tt $files:tt $head:tt data, $($rest:tt)*) => {
        spec! { @ $of $done $files $head
            /// What is learnt: a data set, by its name or with settings.
            #[serde(default)]
            data, $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] $(#[$text:meta])+ data, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            $(#[$text])+
            pub data: $crate::data::DataSpec,
        ] $files [$($head)*
            fn data(&self) -> Option<&$crate::data::DataSpec> {
                Some(&self.data)
            }

            fn data_mut(&mut self) -> Option<&mut $crate::data::DataSpec> {
                Some(&mut self.data)
            }
        ] $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] $(#[$text:meta])+ learning_rates, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            $(#[$text])+
            #[serde(default)]
            #[schemars(extend("additionalProperties" = { "type": "number", "minimum": 0 }))]
            pub learning_rates: std::collections::BTreeMap<String, f64>,
        ] $files [$($head)*
            fn learning_rates(&self) -> Option<&std::collections::BTreeMap<String, f64>> {
                Some(&self.learning_rates)
            }
        ] $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt $head:tt $(#[$text:meta])+ schedule, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            $(#[$text])+
            #[serde(default)]
            pub schedule: $crate::learning::Schedule,
        ] $files $head $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt [$($head:tt)*] $(#[$text:meta])+ epochs, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            $(#[$text])+
            #[schemars(range(min = 1, max = 1_000_000))]
            pub epochs: u64,
        ] $files [$($head)*
            fn epochs(&self) -> Option<(u64, $crate::learning::Schedule)> {
                Some((self.epochs, self.schedule))
            }
        ] $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt $head:tt form, $($rest:tt)*) => {
        spec! { @ $of [$($done)*
            /// Which variable the neurons integrate.
            #[serde(default)]
            pub form: $crate::substrate::neurons::form::Form,
        ] $files $head $($rest)* }
    };
    (@ $of:tt [$($done:tt)*] $files:tt $head:tt $(#[$text:meta])* pub $field:ident: $type:ty, $($rest:tt)*) => {
        spec! { @ $of [$($done)* $(#[$text])* pub $field: $type,] $files $head $($rest)* }
    };
    (@ $of:tt $done:tt [$($file:ident)+] [$($head:tt)*]) => {
        spec! { @ $of $done [] [$($head)*
            fn files_mut(&mut self) -> Vec<&mut String> {
                use $crate::experiment::head::MaybePath;
                [$(self.$file.path_mut()),+].into_iter().flatten().collect()
            }
        ] }
    };
    (@ ($name:ident [$($text:tt)*] [$($own:tt)*]) [$($done:tt)*] [] [$($head:tt)*]) => {
        $($text)*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($done)*
        }

        impl $crate::experiment::head::Head for $name {
            $($head)*
            $($own)*
        }
    };
    ($(#[$text:meta])* pub struct $name:ident { $($fields:tt)* } $($own:tt)*) => {
        spec! { @ ($name [$(#[$text])*] [$($own)*]) [] [] [] $($fields)* }
    };
}

pub(super) use spec;
