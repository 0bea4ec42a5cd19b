//! Data control in both its forms, which differ in their names alone.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use farpane_engine::capture::wayland::Connection;
use wayland_client::backend::ObjectData;
use wayland_client::protocol::wl_callback::WlCallback;
use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Dispatch, Proxy, QueueHandle, delegate_dispatch, delegate_noop};
use wayland_protocols::ext::data_control::v1::client::{
    ext_data_control_device_v1::{self, ExtDataControlDeviceV1},
    ext_data_control_manager_v1::ExtDataControlManagerV1,
    ext_data_control_offer_v1::{self, ExtDataControlOfferV1},
    ext_data_control_source_v1::{self, ExtDataControlSourceV1},
};
use wayland_protocols_wlr::data_control::v1::client::{
    zwlr_data_control_device_v1::{self, ZwlrDataControlDeviceV1},
    zwlr_data_control_manager_v1::ZwlrDataControlManagerV1,
    zwlr_data_control_offer_v1::{self, ZwlrDataControlOfferV1},
    zwlr_data_control_source_v1::{self, ZwlrDataControlSourceV1},
};

use super::super::wire::{Answered, Globals, Plumbing, Wire, WireError};
use crate::clipboard::incoming::Incoming;
use crate::clipboard::types::{MAX_TYPES, TEXTS, best};

/// The type by which we know our own offers.
fn own_type() -> String {
    format!("application/x-farpane-{}", std::process::id())
}

/// Which selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What was copied.
    Clipboard,
    /// What is selected with the mouse.
    Primary,
}

/// What the compositor told, in order.
pub(super) enum Said {
    /// Something was copied.
    Copied(Kind, Offer),
    /// A program wants what we offered, as this type, into this pipe.
    Wanted(String, OwnedFd),
    /// The device is of no use any more.
    Finished,
}

/// Types of an offer, as they are told.
type Types = Arc<Mutex<Vec<String>>>;

/// Something that was copied, and its types.
pub(super) struct Offer {
    offer: AnyOffer,
    types: Vec<String>,
}

enum AnyOffer {
    Ext(ExtDataControlOfferV1),
    Wlr(ZwlrDataControlOfferV1),
}

impl Offer {
    /// Whether we made it.
    pub(super) fn is_ours(&self) -> bool {
        let own = own_type();
        self.types.contains(&own)
    }

    /// Asks for its text; none when it has none.
    pub(super) fn receive(&self, now: Instant, cap: usize) -> Option<Incoming> {
        let choice = best(&self.types)?;
        let opened = Incoming::open(now, cap, choice.latin1);
        let (incoming, writer) =
            opened.inspect_err(|e| tracing::debug!(error = %e, "no pipe for a copied text")).ok()?;
        match &self.offer {
            AnyOffer::Ext(offer) => offer.receive(choice.mime.to_owned(), writer.as_fd()),
            AnyOffer::Wlr(offer) => offer.receive(choice.mime.to_owned(), writer.as_fd()),
        }
        Some(incoming)
    }

    /// It is no longer needed.
    pub(super) fn destroy(&self) {
        match &self.offer {
            AnyOffer::Ext(offer) => offer.destroy(),
            AnyOffer::Wlr(offer) => offer.destroy(),
        }
    }
}

/// The protocol that the compositor has.
enum Device {
    Ext(ExtDataControlManagerV1, ExtDataControlDeviceV1),
    Wlr(ZwlrDataControlManagerV1, ZwlrDataControlDeviceV1),
}

/// Data control and what it told.
#[derive(Default)]
pub(super) struct Control {
    device: Option<Device>,
    /// What was there before us has been told.
    settled: bool,
    pub(super) said: VecDeque<Said>,
}

impl Control {
    /// Begins to follow the selections of the seat.
    pub(super) fn start(&mut self, wire: &mut Wire<Self>) -> Result<(), WireError> {
        let lacks = |what: &str| WireError::Gone(format!("the compositor has no {what}"));
        let seat: WlSeat = wire.bind(1, ()).ok_or_else(|| lacks("wl_seat"))?;
        let handle = wire.handle();
        if let Some(manager) = wire.bind::<ExtDataControlManagerV1, ()>(1, ()) {
            let device = manager.get_data_device(&seat, &handle, ());
            self.device = Some(Device::Ext(manager, device));
        } else if let Some(manager) = wire.bind::<ZwlrDataControlManagerV1, ()>(2, ()) {
            let device = manager.get_data_device(&seat, &handle, ());
            self.device = Some(Device::Wlr(manager, device));
        } else {
            return Err(lacks("ext-data-control-v1 or wlr-data-control-unstable-v1"));
        }
        // what was copied before anybody watched is not told
        wire.round_trip(self)?;
        self.settled = true;
        Ok(())
    }

    /// Offers the text that programs will be given when they ask.
    pub(super) fn offer(&mut self, handle: &QueueHandle<Self>, primary: bool) {
        let types = || TEXTS.iter().map(|t| (*t).to_owned()).chain([own_type()]);
        match &self.device {
            Some(Device::Ext(manager, device)) => {
                for second in [false, true].into_iter().take(1 + usize::from(primary)) {
                    let source = manager.create_data_source(handle, ());
                    types().for_each(|t| source.offer(t));
                    if second {
                        device.set_primary_selection(Some(&source));
                    } else {
                        device.set_selection(Some(&source));
                    }
                }
            }
            Some(Device::Wlr(manager, device)) => {
                // the first version knows no primary selection
                let primary = primary && device.version() >= 2;
                for second in [false, true].into_iter().take(1 + usize::from(primary)) {
                    let source = manager.create_data_source(handle, ());
                    types().for_each(|t| source.offer(t));
                    if second {
                        device.set_primary_selection(Some(&source));
                    } else {
                        device.set_selection(Some(&source));
                    }
                }
            }
            None => {}
        }
    }

    fn copied(&mut self, kind: Kind, offer: AnyOffer, types: Option<&Types>) {
        let types = types.map(|t| std::mem::take(&mut *t.lock().unwrap_or_else(PoisonError::into_inner)));
        let offer = Offer { offer, types: types.unwrap_or_default() };
        if self.settled {
            self.said.push_back(Said::Copied(kind, offer));
        } else {
            offer.destroy();
        }
    }
}

fn told(types: &Types, mime: String) {
    let mut types = types.lock().unwrap_or_else(PoisonError::into_inner);
    if types.len() < MAX_TYPES {
        types.push(mime);
    }
}

macro_rules! dispatch {
    ($any:ident, $device:ident: $Device:ty, $offer:ident: $Offer:ty, $source:ident: $Source:ty) => {
        impl Dispatch<$Device, ()> for Control {
            fn event(
                control: &mut Self,
                _: &$Device,
                event: $device::Event,
                (): &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                match event {
                    $device::Event::Selection { id: Some(offer) } => {
                        let types = offer.data::<Types>().cloned();
                        control.copied(Kind::Clipboard, AnyOffer::$any(offer), types.as_ref());
                    }
                    $device::Event::PrimarySelection { id: Some(offer) } => {
                        let types = offer.data::<Types>().cloned();
                        control.copied(Kind::Primary, AnyOffer::$any(offer), types.as_ref());
                    }
                    $device::Event::Finished => control.said.push_back(Said::Finished),
                    _ => {}
                }
            }

            fn event_created_child(opcode: u16, handle: &QueueHandle<Self>) -> Arc<dyn ObjectData> {
                // offers are the only objects that a device makes
                debug_assert_eq!(opcode, $device::EVT_DATA_OFFER_OPCODE);
                handle.make_data::<$Offer, Types>(Types::default())
            }
        }

        impl Dispatch<$Offer, Types> for Control {
            fn event(
                _: &mut Self,
                _: &$Offer,
                event: $offer::Event,
                types: &Types,
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                if let $offer::Event::Offer { mime_type } = event {
                    told(types, mime_type);
                }
            }
        }

        impl Dispatch<$Source, ()> for Control {
            fn event(
                control: &mut Self,
                source: &$Source,
                event: $source::Event,
                (): &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                match event {
                    $source::Event::Send { mime_type, fd } => control.said.push_back(Said::Wanted(mime_type, fd)),
                    $source::Event::Cancelled => source.destroy(),
                    _ => {}
                }
            }
        }
    };
}

dispatch!(
    Ext,
    ext_data_control_device_v1: ExtDataControlDeviceV1,
    ext_data_control_offer_v1: ExtDataControlOfferV1,
    ext_data_control_source_v1: ExtDataControlSourceV1
);
dispatch!(
    Wlr,
    zwlr_data_control_device_v1: ZwlrDataControlDeviceV1,
    zwlr_data_control_offer_v1: ZwlrDataControlOfferV1,
    zwlr_data_control_source_v1: ZwlrDataControlSourceV1
);
delegate_dispatch!(Control: [WlRegistry: Globals] => Plumbing);
delegate_dispatch!(Control: [WlCallback: Answered] => Plumbing);
delegate_noop!(Control: ignore WlSeat);
delegate_noop!(Control: ExtDataControlManagerV1);
delegate_noop!(Control: ZwlrDataControlManagerV1);
