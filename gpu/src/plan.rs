//! What a network is, in plain numbers: all that a device has to know to be programmed for it.

/// A network of layers. States are layer after layer, each [neurons × (rails · samples)] column-major, the real parts of all samples before
/// their imaginary parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The layers.
    pub layers: Vec<Layer>,
    /// The connections between layers, each direction by itself.
    pub edges: Vec<Edge>,
    /// What is taught.
    pub output: Output,
    /// Whether rates are integrated, a ← ρ(W a), instead of potentials, u ← W ρ(u).
    pub rates: bool,
    /// Whether the derivative of the coupling is sure to be its own transpose.
    pub symmetric: bool,
}

/// A layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Number of neurons.
    pub size: usize,
    /// Their transfer function.
    pub activation: Activation,
    /// Whether it is bounded on the real axis: a rate far beyond has passed a pole.
    pub bounded: bool,
}

/// Transfer functions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// 1/(1 + exp(−(slope z + offset))).
    Logistic {
        /// Factor on the potential.
        slope: f32,
        /// Added after the factor.
        offset: f32,
    },
    /// tanh z.
    Tanh,
    /// ½zσ(z) + (1−½z)σ(z−2).
    Dsilu,
    /// ln(1 + exp z).
    Softplus,
    /// z.
    Identity,
    /// Clipped to [−1, 1], of real states.
    HardTanh,
    /// ½z clipped to [0, 1], of real states.
    HardDsilu,
    /// max(z, 0), of real states.
    Relu,
}

/// One direction of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Index of the sending layer.
    pub from: usize,
    /// Index of the receiving layer.
    pub to: usize,
    /// Whether it sends (∂A/∂a)ᵀ v instead of A(a): its receiver is then the one that A acts on.
    pub backward: bool,
    /// Index of the edge whose weights it uses, before pooling: its own, or an earlier one of the same interaction.
    pub weights: usize,
    /// What A does.
    pub interaction: Interaction,
}

impl Edge {
    /// The layer that A acts on, and the one that it acts for.
    #[must_use]
    pub fn ends(&self) -> (usize, usize) {
        if self.backward { (self.to, self.from) } else { (self.from, self.to) }
    }
}

/// A convolution with a pooling behind it, A(a) = P(K∗a). A dense connection is one of images of 1 × 1, whose channels are the neurons.
/// Weights are [kernel height × kernel width × channels below × channels above], the last fastest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interaction {
    /// Height, width and channels below.
    pub input: [usize; 3],
    /// Height, width and channels above, before pooling.
    pub output: [usize; 3],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Its step.
    pub stride: usize,
    /// Rows of zeros above the input, and columns left of it.
    pub before: [usize; 2],
    /// What follows.
    pub pooling: Pooling,
}

/// What becomes of the positions of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pooling {
    /// Every position stays.
    None,
    /// Their mean.
    Average(Window),
    /// Their mean weighted by softmax(z / temperature).
    Softmax {
        /// The windows.
        window: Window,
        /// In units of z.
        temperature: f32,
    },
}

/// Square windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub size: usize,
    /// Distance of neighbours.
    pub stride: usize,
}

impl Interaction {
    /// All of so many to all of so many.
    #[must_use]
    pub const fn dense(senders: usize, receivers: usize) -> Self {
        Self {
            input: [1, 1, senders],
            output: [1, 1, receivers],
            kernel: [1, 1],
            stride: 1,
            before: [0, 0],
            pooling: Pooling::None,
        }
    }

    /// The windows of its pooling.
    #[must_use]
    pub const fn window(&self) -> Option<Window> {
        match self.pooling {
            Pooling::None => None,
            Pooling::Average(window) | Pooling::Softmax { window, .. } => Some(window),
        }
    }

    /// Height and width after pooling.
    #[must_use]
    pub const fn pooled(&self) -> [usize; 2] {
        let [height, width, _] = self.output;
        match self.window() {
            None => [height, width],
            Some(Window { size, stride }) => [(height - size) / stride + 1, (width - size) / stride + 1],
        }
    }

    /// Numbers of one image before pooling.
    #[must_use]
    pub const fn unpooled(&self) -> usize {
        self.output[0] * self.output[1] * self.output[2]
    }

    /// Number of weights.
    #[must_use]
    pub const fn weights(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.input[2] * self.output[2]
    }

    /// Whether it is linear in a.
    #[must_use]
    pub const fn is_linear(&self) -> bool {
        !matches!(self.pooling, Pooling::Softmax { .. })
    }
}

/// What the cost acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Cross-entropy of softmax(R a + r), with R [classes × neurons] column-major.
    Readout {
        /// The layer that is read.
        layer: usize,
        /// Number of classes.
        classes: usize,
    },
    /// ½|a − y|².
    SquaredError {
        /// The layer.
        layer: usize,
    },
}

impl Plan {
    /// Numbers of neurons in the layers before each.
    #[must_use]
    pub fn offsets(&self) -> Vec<usize> {
        let before = |sum: &mut usize, layer: &Layer| {
            let offset = *sum;
            *sum += layer.size;
            Some(offset)
        };
        self.layers.iter().scan(0, before).collect()
    }

    /// Neurons in all layers.
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// The layer that is taught.
    #[must_use]
    pub fn output_layer(&self) -> usize {
        match self.output {
            Output::Readout { layer, .. } | Output::SquaredError { layer } => layer,
        }
    }

    /// Entries of the output error of a sample.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match self.output {
            Output::Readout { classes, .. } => classes,
            Output::SquaredError { layer } => self.layers[layer].size,
        }
    }

    /// Whether every connection is linear.
    #[must_use]
    pub fn is_linear(&self) -> bool {
        self.edges.iter().all(|edge| edge.interaction.is_linear())
    }
}
