#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farpane_fuzz::strangers::policy_file(data));
