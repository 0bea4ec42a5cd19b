//! Cisco's OpenH264: constrained baseline, one slice a picture, the quantiser set from outside.
#![allow(unsafe_code)]

use openh264::encoder::{
    Complexity, Encoder, EncoderConfig, FrameRate, FrameType, Level, Profile, RateControlMode, UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264::{OpenH264API, Timestamp};
use openh264_sys2::{ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, ENCODER_OPTION_TRACE_LEVEL, SEncParamExt, WELS_LOG_QUIET};
use std::ptr::from_mut;

use super::{I420, MAX_SIDES, MIN_SIDE, VideoEncoder, VideoError, VideoStep};

/// One chain of pictures.
#[derive(Default)]
pub(super) struct OpenH264 {
    /// Made with the first picture.
    chain: Option<Chain>,
}

struct Chain {
    encoder: Encoder,
    size: (u16, u16),
    /// None: the first picture is coded by the codec's own quantiser, 26.
    step: Option<VideoStep>,
    /// Pictures so far: the codec wants a time with each.
    count: u64,
}

impl Chain {
    fn new(size: (u16, u16)) -> Result<Self, VideoError> {
        let config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .profile(Profile::Baseline)
            // one level whatever the size: noVNC keeps one set of parameters for all contexts
            .level(Level::Level_5_1)
            .complexity(Complexity::Low)
            // the quantiser alone decides
            .rate_control_mode(RateControlMode::Off)
            .max_frame_rate(FrameRate::from_hz(60.0))
            .skip_frames(false)
            .scene_change_detect(false)
            .adaptive_quantization(false)
            .background_detection(false)
            .num_threads(1)
            .vui(VuiConfig::bt709());
        let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).map_err(codec)?;
        let mut quiet = WELS_LOG_QUIET;
        // SAFETY: the encoder lives, and its interface is used within this function alone.
        let api = unsafe { encoder.raw_api() };
        // SAFETY: this option takes a pointer to an int, before a picture is given as well as after.
        let code = unsafe { api.set_option(ENCODER_OPTION_TRACE_LEVEL, from_mut(&mut quiet).cast()) };
        if code != 0 {
            return Err(VideoError::Codec(format!("OpenH264 cannot be kept from writing to the terminal ({code})")));
        }
        Ok(Self { encoder, size, step: None, count: 0 })
    }

    /// Another quantiser from the next picture on, without a key picture.
    fn set_step(&mut self, step: VideoStep) -> Result<(), VideoError> {
        let mut params = SEncParamExt::default();
        // SAFETY: the encoder lives, and its interface is used within this function alone.
        let api = unsafe { self.encoder.raw_api() };
        // SAFETY: this option fills a structure of this type.
        let got = unsafe { api.get_option(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, from_mut(&mut params).cast()) };
        params.sSpatialLayers[0].iDLayerQp = step.quantiser().into();
        // SAFETY: this option reads a structure of this type, which the line above has filled.
        let set = unsafe { api.set_option(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, from_mut(&mut params).cast()) };
        if (got, set) != (0, 0) {
            return Err(VideoError::Codec(format!("OpenH264 refused another quantiser ({got}, {set})")));
        }
        self.step = Some(step);
        Ok(())
    }
}

impl VideoEncoder for OpenH264 {
    fn encode(&mut self, picture: &I420, key: bool, step: VideoStep, out: &mut Vec<u8>) -> Result<bool, VideoError> {
        let size @ (w, h) = (picture.width(), picture.height());
        let [long, short] = MAX_SIDES;
        let fits = w.min(h) >= MIN_SIDE && w.max(h) <= long && w.min(h) <= short;
        if !fits || self.chain.as_ref().is_some_and(|chain| chain.size != size) {
            return Err(VideoError::Size(w, h));
        }
        let chain = match &mut self.chain {
            Some(chain) => chain,
            none => none.insert(Chain::new(size)?),
        };
        if chain.count > 0 {
            if chain.step != Some(step) {
                chain.set_step(step)?;
            }
            if key {
                chain.encoder.force_intra_frame();
            }
        }
        let (w, h) = (usize::from(w), usize::from(h));
        let [y, cb, cr] = picture.planes();
        let source = YUVSlices::new((y, cb, cr), (w, h), (w, w / 2, w / 2));
        let at = Timestamp::from_millis(chain.count * 16);
        chain.count += 1;
        let start = out.len();
        let coded = chain.encoder.encode_at(&source, at).map_err(codec)?;
        coded.write_vec(out);
        let is_key = matches!(coded.frame_type(), FrameType::IDR);
        if out.len() == start || (key && !is_key) {
            return Err(VideoError::Codec("OpenH264 left a picture out".into()));
        }
        Ok(is_key)
    }

    fn name(&self) -> &'static str {
        "OpenH264"
    }
}

fn codec(error: openh264::Error) -> VideoError {
    VideoError::Codec(format!("OpenH264: {error}"))
}
