//! The settings of the WebAssembly engine.

use std::path::Path;

use wasmtime::{Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::base::limits::{
    CODE_CACHE_BYTES, CORE_INSTANCES_PER_COMPONENT, CORE_INSTANCES_PER_INSTANCE, FIBER_STACK_BYTES,
    KEEP_RESIDENT_BYTES, MEMORIES_PER_COMPONENT, STACK_BYTES, TABLE_ELEMENTS, TABLE_KEEP_RESIDENT_BYTES,
    TABLES_PER_COMPONENT, TABLES_PER_INSTANCE,
};

/// An engine with room for `instances` live instances. If the address space has no room for a pool (a container with
/// a limit on it), instances are mapped one by one: slower to make, and the same to call. Compiled code is kept in the folder
/// `code`, by the hash of the module and of everything that its code depends on.
pub(super) fn new(instances: u32, code: Option<&Path>) -> wasmtime::Result<Engine> {
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
