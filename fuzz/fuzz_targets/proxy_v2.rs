#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farpane_fuzz::strangers::proxy_v2(data));
