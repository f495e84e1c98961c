//! Devices: which there are, one that is open, and its work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu::{Buffer, BufferUsages, ComputePipeline};

use crate::error::{Error, Result};

/// What is known of a device before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `unknown`.
    pub kind: &'static str,
    /// Vulkan, Metal or DX12.
    pub interface: String,
    /// The driver, as it names itself.
    pub driver: String,
    /// Bytes of the largest buffer that it binds.
    pub largest: u64,
}

fn instance() -> wgpu::Instance {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        flags: wgpu::InstanceFlags::empty(),
        // What a driver says that it has, less a little: memory ends as an error before the driver gives up.
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds {
            for_resource_creation: Some(95),
            for_device_loss: Some(99),
        },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    })
}

/// The adapters that can compute, the fastest kind first.
fn found() -> Vec<wgpu::Adapter> {
    let mut adapters = pollster::block_on(instance().enumerate_adapters(wgpu::Backends::all()));
    let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    adapters.sort_by_key(rank);
    adapters
}

fn describe(adapter: &wgpu::Adapter) -> Description {
    let info = adapter.get_info();
    let limits = adapter.limits();
    Description {
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "unknown",
        },
        name: info.name,
        interface: info.backend.to_string(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        largest: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
    }
}

/// The devices that there are, in the order of their numbers.
#[must_use]
pub fn devices() -> Vec<Description> {
    found().iter().map(describe).collect()
}

/// What a driver has reported.
#[derive(Debug, Clone)]
enum Fault {
    Memory,
    Other(String),
}

type Faults = Arc<Mutex<Option<Fault>>>;

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device that is open.
pub struct Device {
    description: Description,
    device: wgpu::Device,
    queue: wgpu::Queue,
    fault: Faults,
    kernels: Mutex<HashMap<String, ComputePipeline>>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("description", &self.description).finish_non_exhaustive()
    }
}

/// Threads of a group.
const GROUP: usize = 256;
/// Groups along one side of a launch.
const SIDE: usize = 32768;

/// How many threads a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grid {
    /// One for each of so many numbers of every sample.
    PerSample(usize),
    /// One for each of so many numbers of every column.
    PerColumn(usize),
    /// A group for each sample.
    Samples,
    /// Groups of 64 rows by 64 columns of a product with so many rows for every column.
    Tiles(usize, usize),
    /// So many groups.
    Groups(usize),
}

/// A kernel with what it works on.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    kernel: ComputePipeline,
    bindings: wgpu::BindGroup,
    grid: Grid,
}

impl Call {
    fn groups(&self, batch: usize, columns: usize) -> (u32, u32) {
        let flat = |threads: usize| {
            let groups = threads.div_ceil(GROUP).max(1);
            (groups.min(SIDE), groups.div_ceil(SIDE))
        };
        let (x, y) = match self.grid {
            Grid::PerSample(numbers) => flat(numbers * batch),
            Grid::PerColumn(numbers) => flat(numbers * columns),
            Grid::Samples => (batch, 1),
            Grid::Tiles(rows, width) => ((rows * columns).div_ceil(64), width.div_ceil(64)),
            Grid::Groups(groups) => (groups, 1),
        };
        (x as u32, y as u32)
    }
}

impl Device {
    /// Opens a device by its number.
    ///
    /// # Errors
    /// [`Error::Absent`] and [`Error::Closed`].
    pub fn open(index: usize) -> Result<Self> {
        let adapters = found();
        let Some(adapter) = adapters.get(index) else {
            let known = match adapters.len() {
                0 => "no driver for one was found".to_owned(),
                1 => "there is one, gpu:0".to_owned(),
                n => format!("there are gpu:0 to gpu:{}", n - 1),
            };
            return Err(Error::Absent { index, known });
        };
        let description = describe(adapter);
        let opened = adapter.request_device(&wgpu::DeviceDescriptor {
            label: None,
            required_features: wgpu::Features::empty(),
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..wgpu::DeviceDescriptor::default()
        });
        let name = description.name.clone();
        let (device, queue) =
            pollster::block_on(opened).map_err(|e| Error::Closed { index, name, reason: e.to_string() })?;
        let fault = Faults::default();
        let noted = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error| {
            let what = match error {
                wgpu::Error::OutOfMemory { .. } => Fault::Memory,
                other => Fault::Other(other.to_string()),
            };
            lock(&noted).get_or_insert(what);
        }));
        let noted = Arc::clone(&fault);
        device.set_device_lost_callback(move |_, reason| {
            lock(&noted).get_or_insert(Fault::Other(reason));
        });
        Ok(Self { description, device, queue, fault, kernels: Mutex::default() })
    }

    /// What is known of it.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Whether all has gone well so far.
    ///
    /// # Errors
    /// [`Error::Memory`] and [`Error::Lost`].
    pub fn check(&self) -> Result<()> {
        let name = || self.description.name.clone();
        match &*lock(&self.fault) {
            None => Ok(()),
            Some(Fault::Memory) => Err(Error::Memory(name())),
            Some(Fault::Other(reason)) => Err(Error::Lost { name: name(), reason: reason.clone() }),
        }
    }

    /// Bytes that are held on it now, where its driver tells.
    #[must_use]
    pub fn held(&self) -> Option<u64> {
        self.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
    }

    /// Refuses buffers that cannot be had, each in numbers.
    ///
    /// # Errors
    /// [`Error::Size`].
    pub(crate) fn admit(&self, what: &'static str, numbers: usize) -> Result<()> {
        const MIB: u64 = 1 << 20;
        let (needed, allowed) = (4 * numbers as u64, self.description.largest);
        if needed <= allowed {
            return Ok(());
        }
        let name = self.description.name.clone();
        Err(Error::Size { name, what, needed: needed.div_ceil(MIB), allowed: allowed / MIB })
    }

    /// The kernel of a source text, with `main` as its entry.
    pub(crate) fn kernel(&self, source: String) -> ComputePipeline {
        let mut kernels = lock(&self.kernels);
        if let Some(kernel) = kernels.get(&source) {
            return kernel.clone();
        }
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.as_str().into()),
        });
        let kernel = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        });
        kernels.insert(source, kernel.clone());
        kernel
    }

    /// A kernel on buffers, bound in order.
    pub(crate) fn call(&self, source: String, buffers: &[&Buffer], grid: Grid) -> Call {
        let kernel = self.kernel(source);
        let entries: Vec<wgpu::BindGroupEntry<'_>> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &kernel.get_bind_group_layout(0),
            entries: &entries,
        });
        Call { kernel, bindings, grid }
    }

    /// Room for so many numbers.
    pub(crate) fn buffer(&self, numbers: usize) -> Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4 * numbers.max(4) as u64,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    }

    /// Room for what is the same in all threads, in words.
    pub(crate) fn uniform(&self, words: &[u32]) -> Buffer {
        self.device.create_buffer_init(&BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(words),
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
        })
    }

    /// Writes from the beginning of a buffer.
    pub(crate) fn write<T: bytemuck::Pod>(&self, buffer: &Buffer, values: &[T]) {
        if !values.is_empty() {
            self.queue.write_buffer(buffer, 0, bytemuck::cast_slice(values));
        }
    }

    /// Makes whole buffers zero.
    pub(crate) fn clear<'b>(&self, buffers: impl Iterator<Item = &'b Buffer>) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        buffers.for_each(|buffer| encoder.clear_buffer(buffer, 0, None));
        self.queue.submit([encoder.finish()]);
    }

    /// Does calls one after the other.
    pub(crate) fn submit<'c>(&self, (batch, columns): (usize, usize), calls: impl Iterator<Item = &'c Call>) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for call in calls {
                let (x, y) = call.groups(batch, columns);
                pass.set_pipeline(&call.kernel);
                pass.set_bind_group(0, &call.bindings, &[]);
                pass.dispatch_workgroups(x, y, 1);
            }
        }
        self.queue.submit([encoder.finish()]);
    }

    /// The first numbers of buffers, once all work so far is done.
    ///
    /// # Errors
    /// What [`Self::check`] finds.
    pub(crate) fn read<T: bytemuck::Pod>(&self, wanted: &[(&Buffer, usize)]) -> Result<Vec<Vec<T>>> {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let bytes = |numbers: usize| 4 * numbers.max(1) as u64;
        let landings: Vec<Buffer> = wanted
            .iter()
            .map(|(buffer, numbers)| {
                let landing = self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: bytes(*numbers),
                    usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                encoder.copy_buffer_to_buffer(buffer, 0, &landing, 0, bytes(*numbers));
                landing
            })
            .collect();
        self.queue.submit([encoder.finish()]);
        landings.iter().for_each(|landing| landing.slice(..).map_async(wgpu::MapMode::Read, |_| ()));
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            lock(&self.fault).get_or_insert(Fault::Other(error.to_string()));
        }
        self.check()?;
        let mut values = Vec::with_capacity(wanted.len());
        for (landing, (_, numbers)) in landings.iter().zip(wanted) {
            match landing.slice(..).get_mapped_range() {
                Ok(view) => values.push(bytemuck::pod_collect_to_vec(&view[..4 * numbers])),
                Err(error) => {
                    let name = self.description.name.clone();
                    return Err(Error::Lost { name, reason: error.to_string() });
                }
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Activation, Edge, Interaction, Layer, Output, Plan};
    use crate::{Engine, Load};

    /// The first device; none where there is none.
    fn device() -> Option<Arc<Device>> {
        Device::open(0).map(Arc::new).map_err(|error| println!("skipped: {error}")).ok()
    }

    fn engine(device: &Arc<Device>) -> Engine {
        let layer = |size| Layer { size, activation: Activation::Tanh, bounded: true };
        let plan = Plan {
            layers: vec![layer(3), layer(2)],
            edges: vec![Edge {
                from: 0,
                to: 1,
                backward: false,
                weights: 0,
                interaction: Interaction::dense(3, 2),
            }],
            output: Output::SquaredError { layer: 1 },
            rates: false,
            symmetric: false,
        };
        let engine = Engine::new(Arc::clone(device), plan).unwrap();
        engine.set_weights(0, &[0.1; 6]);
        engine
    }

    fn target(engine: &Engine) -> Result<Vec<f32>> {
        let load = Load {
            id: 1,
            batch: 1,
            rails: 1,
            drive: &[0.5; 5],
            targets: &[0.0; 2],
            betas: &[],
            correction: None,
        };
        engine.target(&load, None, &[0.2; 5])
    }

    #[test]
    fn a_device_that_is_lost_is_told_of() {
        let Some(device) = device() else { return };
        let engine = engine(&device);
        assert!(target(&engine).is_ok());
        device.device.destroy();
        let error = target(&engine).unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error}");
        assert!(error.to_string().contains("was lost"), "{error}");
        // And stays so.
        assert_eq!(device.check().unwrap_err(), error);
    }

    #[test]
    #[ignore = "software Vulkan promises any memory where the process may take any: run under ulimit -v"]
    fn memory_that_is_not_there_is_told_of() {
        let Some(device) = device() else { return };
        let most = (device.description.largest / 4) as usize;
        let mut held = Vec::new();
        // A terabyte; nothing of it is touched.
        for _ in 0..(1_usize << 38).div_ceil(most) {
            held.push(device.buffer(most));
            if device.check().is_err() {
                break;
            }
        }
        let error = device.check().unwrap_err();
        assert!(matches!(error, Error::Memory(_)), "{error}");
    }
}
