#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farpane_fuzz::strangers::user_file(data));
