//! Tests that need the whole, in one program: `cargo test --test main readout::` runs those of `readout.rs`.

mod allocation;
mod asymmetry;
mod bad_input;
mod bootstrap;
mod cli;
mod common;
mod continuous;
mod elapsed;
mod floor;
mod folders;
mod frequency_optimum;
mod gradients;
mod imperfections;
mod integrators;
mod limits;
mod mutation;
mod noise;
mod phases;
mod program;
mod published;
mod radius;
mod readout;
mod reproduction;
mod resume;
mod sweep;
mod theory;
