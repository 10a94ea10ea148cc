//! What comes after a linear layer.

/// The function applied to each output of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`; NaN stays NaN, as in PyTorch.
    Relu,
}

impl Activation {
    /// The function at one point.
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
        }
    }

    /// The name in lower case: `identity`, `relu`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
        }
    }

    /// The activation of a [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Identity, Self::Relu].into_iter().find(|activation| activation.name() == name)
    }
}
