#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farpane_fuzz::rsa_aes::rsa_aes_client(data));
