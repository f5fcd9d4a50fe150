//! The engine's settings, and compiled modules with their exports looked up.

use std::path::Path;
use std::sync::Arc;

use tidegate_engine::hook::Abi;
use wasmtime::{Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::abi::Form;
use crate::base::limits::{
    CODE_CACHE_BYTES, CORE_INSTANCES_PER_COMPONENT, CORE_INSTANCES_PER_INSTANCE, FIBER_STACK_BYTES,
    KEEP_RESIDENT_BYTES, MEMORIES_PER_COMPONENT, STACK_BYTES, TABLE_ELEMENTS, TABLE_KEEP_RESIDENT_BYTES,
    TABLES_PER_COMPONENT, TABLES_PER_INSTANCE,
};
use crate::base::log::one_line;
use crate::extension::LoadError;
use crate::module::census::Census;
use crate::module::inspect::{ModuleError, ModuleReport};
use crate::wit::interfaces::LIFECYCLE;

/// An engine with room for `instances` live instances. If the address space has no room for a pool (a container with
/// a limit on it), instances are mapped one by one: slower to make, and the same to call. Compiled code is kept in the folder
/// `code`, by the hash of the module and of everything that its code depends on.
pub(crate) fn engine(instances: u32, code: Option<&Path>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .generate_address_map(false)
        .native_unwind_info(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(instances)));
    if let Some(folder) = code {
        let mut cache = CacheConfig::new();
        cache.with_directory(folder).with_files_total_size_soft_limit(CODE_CACHE_BYTES);
        config.cache(Some(Cache::new(cache)?));
    }
    Engine::new(&config).or_else(|_| Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand)))
}

fn pooling(instances: u32) -> PoolingAllocationConfig {
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_INSTANCE))
        .total_memories(instances)
        .total_stacks(instances)
        .total_tables(instances.saturating_mul(TABLES_PER_INSTANCE))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        .pagemap_scan(Enabled::Auto);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pooling.linear_memory_keep_resident(KEEP_RESIDENT_BYTES).table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);
    }
    pooling
}

/// A compiled module.
pub(crate) struct Code {
    /// The file that it was made of, which is its identity.
    pub(crate) module: Arc<[u8]>,
    /// What it speaks.
    pub(crate) abi: Abi,
    pub(crate) report: ModuleReport,
    pub(crate) form: Form,
    /// The room that an instance takes, as [`Census::weight`] counts it.
    pub(crate) weight: usize,
}

impl Code {
    /// Compiles a module that speaks `abi`; `component` is what a module of the gateway's own ABI makes.
    pub(crate) fn compile(
        engine: &Engine,
        (module, abi): (Arc<[u8]>, Abi),
        component: Option<&[u8]>,
        report: ModuleReport,
        census: &Census,
    ) -> Result<Self, LoadError> {
        let form = match component {
            Some(component) => Form::compile(engine, &module, component, report.waits()),
            None => Form::compile_foreign(engine, &module, abi),
        };
        let form = form
            .map_err(|error| LoadError::Compile(one_line(&format!("{error:#}"), 512)))?
            .ok_or(LoadError::Module(ModuleError::NoExport(LIFECYCLE)))?;
        Ok(Self { module, abi, report, form, weight: census.weight() })
    }
}
