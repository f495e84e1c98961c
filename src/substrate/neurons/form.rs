//! The two forms of the neurons' equation.

/// Which variable the neurons integrate (same fixed points, different transients and noise).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// τ du/dt = −u + Σ W ρ(u) + b − β ∂C/∂a.
    #[default]
    Potential,
    /// τ da/dt = −a + ρ(Σ W a + b − β ∂C/∂a): the papers' code iterates it as a map. It refuses white noise on the state.
    Rate,
}
