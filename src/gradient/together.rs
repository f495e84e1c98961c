//! A batch whose chunks several processes estimate.

use std::sync::Arc;

use super::{Diagnostics, Estimate};
use crate::error::{Error, Result};
use crate::numerics::scalar::Scalar;
use crate::substrate::Substrate;
use crate::substrate::parameters::{ParameterShape, Parameters};
use crate::team::Team;
use crate::team::wire::{Reader, Writer};

/// The estimate summed over all chunks, from those of this rank, which are its share; `states` are those of all chunks.
///
/// # Errors
/// The first chunk's error.
pub(super) fn assemble<T: Scalar>(
    team: &Team,
    substrate: &dyn Substrate<T>,
    parts: Vec<Result<Estimate<T>>>,
    states: &mut [Vec<T>],
) -> Result<Estimate<T>> {
    let own = team.share(states.len());
    let parts: Result<Vec<Estimate<T>>> = parts.into_iter().collect();
    let (parts, packed) = match parts {
        Ok(parts) => {
            let packed = pack(&parts, &states[own.clone()]);
            (parts, packed)
        }
        Err(error) => (Vec::new(), Err(error)),
    };
    let mut total: Option<Estimate<T>> = None;
    let mut chunk = 0;
    for bytes in team.exchange(packed)? {
        let mut reader = Reader::new(&bytes);
        while !reader.is_empty() {
            let (part, state) = unpack(&mut reader)?;
            if !own.contains(&chunk) {
                states[chunk] = state;
            }
            chunk += 1;
            match &mut total {
                None => total = Some(part),
                Some(total) => total.join(&part),
            }
        }
    }
    let mut total = total.ok_or_else(|| Error::Internal("an empty batch".into()))?;
    total.gradient = sum(team, substrate.parameters(), parts.iter().map(|part| &part.gradient));
    if total.quadrature.is_some() {
        let own = parts.iter().filter_map(|part| part.quadrature.as_ref());
        total.quadrature = Some(sum(team, substrate.parameters(), own));
    }
    Ok(total)
}

/// The sum over all chunks, in their order.
fn sum<'a, T: Scalar>(
    team: &Team,
    shapes: &Arc<[ParameterShape]>,
    own: impl Iterator<Item = &'a Parameters<T>>,
) -> Parameters<T> {
    let own: Vec<&Parameters<T>> = own.collect();
    let mut sum = Parameters::zeros(shapes);
    for index in 0..sum.len() {
        let parts: Vec<&[T]> = own.iter().map(|part| part.at(index)).collect();
        team.fold(&parts, sum.at_mut(index));
    }
    (0..sum.len()).for_each(|index| team.spread_last(sum.at_mut(index)));
    sum
}

/// All but the gradients of chunks, and their states.
fn pack<T: Scalar>(parts: &[Estimate<T>], states: &[Vec<T>]) -> Result<Vec<u8>> {
    let mut writer = Writer::default();
    for (part, state) in parts.iter().zip(states) {
        let Estimate { gradient: _, quadrature, free, error_vector, output_error, nudged, diagnostics } =
            part;
        writer.object(&(diagnostics, quadrature.is_some(), nudged.len()))?;
        for matrices in [free, error_vector].into_iter().chain(nudged) {
            writer.number(matrices.len());
            matrices.iter().for_each(|matrix| writer.matrix(matrix));
        }
        writer.matrix(output_error);
        writer.array(state);
    }
    Ok(writer.bytes())
}

/// A chunk with gradients that have no parameters, and its state.
fn unpack<T: Scalar>(reader: &mut Reader<'_>) -> Result<(Estimate<T>, Vec<T>)> {
    let (diagnostics, complex, points) = reader.object::<(Diagnostics, bool, usize)>()?;
    let mut layers = || -> Result<Vec<_>> { (0..reader.number()?).map(|_| reader.matrix()).collect() };
    let (free, error_vector) = (layers()?, layers()?);
    let nudged = (0..points).map(|_| layers()).collect::<Result<_>>()?;
    let output_error = reader.matrix()?;
    let gradient = Parameters::zeros(&Arc::from([]));
    let quadrature = complex.then(|| gradient.clone());
    let part = Estimate { gradient, quadrature, free, error_vector, output_error, nudged, diagnostics };
    Ok((part, reader.array()?))
}
