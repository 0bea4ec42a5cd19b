//! A shader made ready for a device, from what it says of itself.

use farpane_shaders::{Binding, Shader};

/// A compute pipeline with its layout of bindings.
pub(super) struct Program {
    pub(super) pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    name: &'static str,
}

impl Program {
    /// Compiles a shader.
    pub(super) fn new(device: &wgpu::Device, shader: &Shader) -> Self {
        let name = shader.name;
        let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
        let entries: Vec<wgpu::BindGroupLayoutEntry> = (0u32..)
            .zip(shader.bindings)
            .map(|(binding, kind)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: match kind {
                    Binding::Uniform => buffer(wgpu::BufferBindingType::Uniform),
                    Binding::Read => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
                    Binding::Write => buffer(wgpu::BufferBindingType::Storage { read_only: false }),
                    Binding::Image => wgpu::BindingType::Texture {
                        sample_type: wgpu::TextureSampleType::Float { filterable: false },
                        view_dimension: wgpu::TextureViewDimension::D2,
                        multisampled: false,
                    },
                },
                count: None,
            })
            .collect();
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let source = wgpu::ShaderSource::Wgsl(shader.source.into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(name), source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(name),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Self { pipeline, layout, name }
    }

    /// Binds buffers, in the order in which the shader lists them.
    pub(super) fn bind<const N: usize>(&self, device: &wgpu::Device, buffers: [&wgpu::Buffer; N]) -> wgpu::BindGroup {
        self.bind_all(device, buffers.map(wgpu::Buffer::as_entire_binding))
    }

    /// The same where not all of it is buffers.
    pub(super) fn bind_all<const N: usize>(
        &self,
        device: &wgpu::Device,
        resources: [wgpu::BindingResource<'_>; N],
    ) -> wgpu::BindGroup {
        let entries: Vec<_> =
            (0u32..).zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.name),
            layout: &self.layout,
            entries: &entries,
        })
    }
}
