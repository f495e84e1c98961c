//! What a model file says of a convolution.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Conv;
use crate::error::{Invalid, positive};
use crate::numerics::convolution::Method;
use crate::numerics::convolution::geometry::{self, Misfit, Shape};
use crate::numerics::pooling::{Pool, Pooling, Window};

/// A convolution of the sending layer's image, and what pools it before the receiving layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvSpec {
    /// Side of the kernel, or its [height, width].
    pub kernel: Kernel,
    /// What surrounds the image.
    #[serde(default)]
    pub padding: Padding,
    /// Step of the kernel, in both directions.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub stride: usize,
    /// What pools the result, channel by channel, inside the connection.
    #[serde(default)]
    pub pool: PoolSpec,
    /// How its products are computed. Gradients are those of what ran.
    #[serde(default, skip_serializing_if = "Products::is_fastest")]
    pub products: Products,
    /// Which hardware the kernel is: what a device does wrong, it does for all positions or for one.
    #[serde(default, skip_serializing_if = "Devices::is_shared")]
    pub devices: Devices,
}

/// How the products of a convolution are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Products {
    /// In single precision by the larger tile that fits the image, where the kernel is of 3 × 3 with a stride of 1; directly elsewhere.
    #[default]
    Fastest,
    /// By a matrix of patches.
    Direct,
    /// By Winograd's F(2,3), with 2.25 times fewer multiplications; rounds as the direct product does.
    Winograd2,
    /// By Winograd's F(4,3), with 4 times fewer; with few channels its rounding errors are up to ten times those of the direct product.
    Winograd4,
}

impl Products {
    fn is_fastest(&self) -> bool {
        *self == Self::Fastest
    }

    /// The tiles that are asked for.
    pub(super) fn method(self) -> Option<Method> {
        match self {
            Self::Fastest => None,
            Self::Direct => Some(Method::Direct),
            Self::Winograd2 => Some(Method::Winograd2),
            Self::Winograd4 => Some(Method::Winograd4),
        }
    }
}

/// Devices of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Devices {
    /// One for each weight, which serves all positions in turn.
    #[default]
    Shared,
    /// One for each weight and position, all of them programmed with the same weight; the weight learns from the sum of what they see.
    Unrolled,
}

impl Devices {
    pub(super) fn is_shared(&self) -> bool {
        *self == Self::Shared
    }
}

/// Extent of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected the side of a square kernel, or its [height, width]")]
pub enum Kernel {
    /// As high as wide.
    Square(#[schemars(range(min = 1))] usize),
    /// [height, width].
    Sides(#[schemars(inner(range(min = 1)))] [usize; 2]),
}

/// What surrounds the image that is convolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Zeros around the image so that ⌈side/stride⌉ results stand in each direction; an odd one stands after it.
    #[default]
    Same,
    /// None: the kernel stays inside.
    Valid,
}

/// Pooling over square windows, channel by channel.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PoolSpec {
    /// Every position stays.
    #[default]
    None,
    /// The mean of a window.
    Average(Windows),
    /// The greatest of a window, the first of equals; real states only.
    Max(Windows),
    /// The mean of a window weighted by softmax(z/temperature), z the result of the convolution.
    Softmax {
        /// Height and width of a window.
        #[schemars(range(min = 1))]
        size: usize,
        /// Distance of neighbouring windows; `size` where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        stride: Option<usize>,
        /// Temperature, in units of z.
        #[serde(default = "unit")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        temperature: f64,
    },
}

/// The windows of a pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// Height and width of a window.
    #[schemars(range(min = 1))]
    pub size: usize,
    /// Distance of neighbouring windows; `size` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub stride: Option<usize>,
}

impl Windows {
    pub(super) fn window(self) -> Window {
        Window { size: self.size, stride: self.stride.unwrap_or(self.size) }
    }
}

impl PoolSpec {
    pub(super) fn pooling(self) -> Pooling {
        match self {
            Self::None => Pooling::None,
            Self::Average(windows) => Pooling::Average(windows.window()),
            Self::Max(windows) => Pooling::Max(windows.window()),
            Self::Softmax { size, stride, temperature } => {
                Pooling::Softmax { window: Windows { size, stride }.window(), temperature }
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Average(_) => "average",
            Self::Max(_) => "max",
            Self::Softmax { .. } => "softmax",
        }
    }
}

impl ConvSpec {
    /// Checks the convolution against the shapes of the layers, [height, width, channels].
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self, receiver: [usize; 3], sender: [usize; 3]) -> Result<(), Invalid> {
        let sides = self.sides();
        if sides.contains(&0) {
            return Err(Invalid::new("kernel", "found a side of 0", "it must be at least 1"));
        }
        if self.stride == 0 {
            return Err(Invalid::new("stride", "found 0", "it must be at least 1"));
        }
        let pool = format!("pool.{}", self.pool.name());
        if let PoolSpec::Softmax { temperature, .. } = self.pool {
            positive(&format!("{pool}.temperature"), temperature)?;
        }
        let [height, width, _] = sender;
        let geometry = self.geometry(receiver[2], sender).map_err(|_| {
            let found = format!("found {} x {} for an image of {height} x {width}", sides[0], sides[1]);
            Invalid::new("kernel", found, "a kernel without padding must fit into the image")
        })?;
        let tiled = matches!(self.products, Products::Winograd2 | Products::Winograd4);
        let suits = self.products.method().is_none_or(|method| method.suits(&geometry));
        if tiled && !(suits && self.devices.is_shared()) {
            let found =
                if suits { "found tiles for unrolled devices" } else { "found tiles for this kernel" };
            let legal =
                "a kernel of 3 x 3 with a stride of 1 and shared devices; otherwise `fastest` or `direct`";
            return Err(Invalid::new("products", found, legal));
        }
        let output = Pool::new(self.pool.pooling(), geometry.output).map_err(|misfit| match misfit {
            Misfit::Zero(_) => Invalid::new(&pool, "found a size or stride of 0", "at least 1"),
            Misfit::Exceeds { window, found, .. } => Invalid::new(
                format!("{pool}.size"),
                format!(
                    "found {} for a convolution that gives an image of {} x {}",
                    window[0], found[0], found[1]
                ),
                "a window must fit into the image",
            ),
        })?;
        let Shape { height, width, channels } = output.output();
        if [height, width] != receiver[..2] {
            let found = format!("found a receiving layer of shape {receiver:?}");
            let legal = format!("this convolution makes [{height}, {width}, {channels}] of {sender:?}");
            return Err(Invalid::new("", found, legal));
        }
        Ok(())
    }

    /// The sized interaction of a validated description.
    ///
    /// # Panics
    /// If it was not validated for these shapes.
    #[must_use]
    pub fn build(&self, receiver: [usize; 3], sender: [usize; 3]) -> Conv {
        let geometry = self.geometry(receiver[2], sender).expect("validated");
        let pool = Pool::new(self.pool.pooling(), geometry.output).expect("validated");
        Conv { geometry, pool, products: self.products, devices: self.devices }
    }

    /// Number of weights between layers of so many channels, as large as it gets.
    #[must_use]
    pub fn weights(&self, receiver: [usize; 3], sender: [usize; 3]) -> u128 {
        let [height, width] = self.sides();
        [height, width, sender[2], receiver[2]]
            .into_iter()
            .fold(1, |product: u128, side| product.saturating_mul(side as u128))
    }

    fn sides(&self) -> [usize; 2] {
        match self.kernel {
            Kernel::Square(side) => [side, side],
            Kernel::Sides(sides) => sides,
        }
    }

    fn geometry(
        &self,
        channels: usize,
        [height, width, depth]: [usize; 3],
    ) -> Result<geometry::Geometry, Misfit> {
        let padding = match self.padding {
            Padding::Same => geometry::Padding::Same,
            Padding::Valid => geometry::Padding::Valid,
        };
        let input = Shape::new(height, width, depth);
        geometry::Geometry::new(input, channels, self.sides(), self.stride, padding)
    }
}

fn one() -> usize {
    1
}

fn unit() -> f64 {
    1.0
}
