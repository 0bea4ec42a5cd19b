//! The loop's thread: one PipeWire context for the life of the program's capture, its connections and streams.
//!
//! The context reads no configuration and loads the two modules that streams need, so nothing is opened later than at its start.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use pipewire::context::ContextRc;
use pipewire::core::CoreRc;
use pipewire::main_loop::MainLoopRc;
use pipewire::properties::properties;
use pipewire::registry::RegistryRc;
use pipewire::spa::support::system::IoFlags;
use pipewire::types::ObjectType;

use super::ffi;
use super::shared::{Command, Commands, RemoteShared};
use super::stream::Live;

/// What PipeWire calls a connection that broke.
const EPIPE: i32 = -32;

struct Desk {
    // dropped in this order: streams before their connections, these before the context
    streams: HashMap<u64, (u64, Live)>,
    remotes: HashMap<u64, Remote>,
    context: ContextRc,
}

/// A connection; listeners leave before what they listen to goes.
struct Remote {
    _heard: pipewire::registry::Listener,
    _registry: RegistryRc,
    _told: pipewire::core::Listener,
    core: CoreRc,
    shared: Arc<RemoteShared>,
}

/// Runs until it is told to end; says first whether it could begin.
pub(super) fn run(commands: &Arc<Commands>, begun: &SyncSender<Result<(), String>>) {
    let (main, context) = match begin() {
        Ok(both) => both,
        Err(reason) => {
            let _ = begun.send(Err(reason));
            return;
        }
    };
    let desk = RefCell::new(Desk { streams: HashMap::new(), remotes: HashMap::new(), context });
    let (mine, ender) = (Arc::clone(commands), main.clone());
    let source = main.loop_().add_io(commands.descriptor().as_raw_fd(), IoFlags::IN, move |_| {
        mine.calm();
        while let Some(command) = mine.take() {
            if matches!(command, Command::End) {
                ender.quit();
                continue;
            }
            if let Ok(mut desk) = desk.try_borrow_mut() {
                desk.carry_out(command);
            }
        }
    });
    let _ = begun.send(Ok(()));
    main.run();
    drop(source);
}

fn begin() -> Result<(MainLoopRc, ContextRc), String> {
    pipewire::init();
    ffi::log_errors_alone();
    let main = MainLoopRc::new(None).map_err(|e| format!("no loop: {e}"))?;
    let properties = properties! { *pipewire::keys::CONFIG_NAME => "null", "support.dbus" => "false" };
    let context = ContextRc::new(&main, Some(properties)).map_err(|e| format!("no context: {e}"))?;
    for module in [c"libpipewire-module-protocol-native", c"libpipewire-module-client-node"] {
        if !ffi::load_module(&context, module) {
            return Err(format!("{} is not installed", module.to_string_lossy()));
        }
    }
    Ok((main, context))
}

impl Desk {
    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Connect { socket, remote } => match Remote::connect(&self.context, socket, &remote) {
                Ok(live) => {
                    self.remotes.insert(remote.id, live);
                }
                Err(reason) => remote.lose(&reason),
            },
            Command::Disconnect(id) => {
                self.streams.retain(|_, (remote, _)| *remote != id);
                self.remotes.remove(&id);
            }
            Command::Open { remote, stream } => {
                let Some(on) = self.remotes.get(&remote) else {
                    return stream.lose("the connection to PipeWire is gone");
                };
                match Live::open(&on.core, Arc::clone(&stream)) {
                    Ok(live) => {
                        on.shared.state().streams.push(Arc::downgrade(&stream));
                        self.streams.insert(stream.id, (remote, live));
                    }
                    Err(reason) => stream.lose(&reason),
                }
            }
            Command::Active(id, active) => self.with(id, |live| live.set_active(active)),
            Command::Nudge(id) => self.with(id, |live| {
                live.set_active(false);
                live.set_active(true);
            }),
            Command::Requeue(id, token) => self.with(id, |live| live.requeue(token)),
            Command::Resize(id, size) => self.with(id, |live| live.resize(size)),
            Command::LeaveDmaBufs(id) => self.with(id, Live::leave_dma_bufs),
            Command::Close(id) => {
                self.streams.remove(&id);
            }
            Command::End => {}
        }
    }

    fn with(&self, id: u64, what: impl FnOnce(&Live)) {
        if let Some((_, live)) = self.streams.get(&id) {
            what(live);
        }
    }
}

impl Remote {
    fn connect(context: &ContextRc, socket: std::os::fd::OwnedFd, shared: &Arc<RemoteShared>) -> Result<Self, String> {
        let refused = |e: pipewire::Error| format!("PipeWire refuses the connection: {e}");
        let core = context.connect_fd_rc(socket, None).map_err(refused)?;
        let (ready, lost) = (Arc::clone(shared), Arc::clone(shared));
        let told = core
            .add_listener_local()
            .done(move |id, _| {
                if id == pipewire::core::PW_ID_CORE {
                    ready.ready();
                }
            })
            .error(move |id, _, result, message| {
                if id == pipewire::core::PW_ID_CORE && result == EPIPE {
                    lost.lose("PipeWire ended the connection");
                } else {
                    tracing::debug!(object = id, result, message, "PipeWire reports an error");
                }
            })
            .register();
        let registry = core.get_registry_rc().map_err(refused)?;
        let (came, went) = (Arc::clone(shared), Arc::clone(shared));
        let seen: Rc<RefCell<Vec<u32>>> = Rc::default();
        let gone = Rc::clone(&seen);
        let heard = registry
            .add_listener_local()
            .global(move |global| {
                if global.type_ != ObjectType::Node {
                    return;
                }
                seen.borrow_mut().push(global.id);
                let get = |key: &str| global.props.and_then(|p| p.get(key)).unwrap_or_default();
                if get("media.class").starts_with("Video/Source") || get("media.class") == "Stream/Output/Video" {
                    came.state().nodes.push((global.id, get("node.name").to_owned()));
                }
            })
            .global_remove(move |id| {
                if gone.borrow().contains(&id) {
                    gone.borrow_mut().retain(|n| *n != id);
                    went.node_gone(id);
                }
            })
            .register();
        core.sync(0).map_err(|e| format!("PipeWire does not answer: {e}"))?;
        Ok(Self { _heard: heard, _registry: registry, _told: told, core, shared: Arc::clone(shared) })
    }
}
