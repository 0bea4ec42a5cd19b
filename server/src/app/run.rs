//! A server from its start to its end.

use std::io::Write;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use farpane_engine::pipeline::Lanes;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::backend::{self, Backend, SourceSpec};
use crate::clipboard::ClipboardOptions;
use crate::config::{Attempt, Config, Layers, ListenerSection, Lock, Others};
use crate::control;
use crate::net::{self, Bound, ListenAddr, Listener, ListenerId, ListenerSettings, SecureLayer, Slots};
use crate::security::tls::CertificateStore;
use crate::session::{self, Hub, SideCar, ViewSpec};

use super::gate::{Gate, Sessions};
use super::processes::{Helpers, Opening, cannot_open, clipboard, look, notify_ready, shut_in};
use super::secrets::{Secrets, Told};
use super::trail::Trail;
use super::{AppError, environment, gpu, logging};

/// How long a desktop may take to tell its outputs.
pub(super) const READY: Duration = Duration::from_secs(10);
/// The program ends this long after a signal at the latest.
const LAST_MOMENT: Duration = Duration::from_millis(850);

/// Shares a desktop until a signal ends it.
///
/// # Errors
/// When policy refuses, a listener cannot be had or the desktop cannot be opened.
pub fn serve(layers: &Layers) -> Result<(), AppError> {
    let config = super::in_force(layers)?;
    config.check()?;
    logging::start(config.log);
    match &layers.file {
        Some((file, _)) => tracing::info!(file = %file.display(), "configuration read"),
        None => tracing::debug!("no configuration file, defaults in force"),
    }
    let attempts = layers.attempts();
    for attempt in &attempts {
        tracing::warn!(
            key = attempt.lock.key, locked = %attempt.lock.value, asked = %attempt.value, by = %attempt.by,
            "setting is locked by policy {}", attempt.lock.file.display()
        );
    }
    run(config, layers.policy.locks(), &attempts, bind_all)
}

fn bind_all(config: &Config, secure: Option<&SecureLayer>) -> Result<Vec<Bound>, AppError> {
    let numbered = config.listeners.iter().enumerate();
    let bind = |(n, l): (usize, &ListenerSection)| {
        let settings = ListenerSettings { secure: secure.cloned(), ..l.settings() };
        Bound::bind(ListenerId(n), &settings).map_err(AppError::failed)
    };
    numbered.map(bind).collect()
}

/// Runs a server. `bind` opens its listeners.
pub(super) fn run(
    config: Config,
    locks: &[Lock],
    attempts: &[Attempt],
    bind: impl FnOnce(&Config, Option<&SecureLayer>) -> Result<Vec<Bound>, AppError>,
) -> Result<(), AppError> {
    let exceptions = config.check()?;
    for exception in &exceptions {
        tracing::warn!(
            listener = %exception.listener, security = %exception.kind,
            "insecure by request (--insecure-allow): anybody on the network can listen in and change what is sent"
        );
    }
    let desktop = look(&config)?;
    // read off the files of control groups, which are out of reach later
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let control = super::control::open();
    let control_path = control.as_ref().map(|control| control.path().to_owned());
    let helpers = Helpers::start(&config, &desktop, control_path.as_deref())?;
    let Secrets { means, told, kept, remote } = Secrets::open(&config, &helpers)?;
    let secure = means.keys.tls.clone().map(|store| SecureLayer::new(store));
    let bound = bind(&config, secure.as_ref())?;
    let sinks = Trail::sinks(&config, &helpers.opener())?;
    let early = shut_in(&config, &desktop, kept.as_deref())?;
    // INVARIANT: no thread before this line, or Landlock would not hold for it
    let trail = Trail::start(sinks, &config, &exceptions)?;
    trail.configured(config.changed(), locks, attempts);
    let door = helpers.door(&bound, control_path.as_deref(), &trail)?;
    if let Some(remote) = &remote {
        remote.watch(renew(means.keys.tls.as_ref())).map_err(AppError::failed)?;
    }
    let opening = Opening { desktop, door: door.clone(), cores, early };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, 8))
        .thread_name("farpane-net")
        .enable_all()
        .build()
        .map_err(|e| AppError::Failed(format!("no resources to run: {e}")))?;
    let result = runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).map_err(AppError::failed)?;
        let mut int = signal(SignalKind::interrupt()).map_err(AppError::failed)?;
        let mut hup = signal(SignalKind::hangup()).map_err(AppError::failed)?;
        let proxies: Arc<[_]> = config.access.proxies.iter().map(|proxy| proxy.0).collect();
        let listen = |bound: Bound| bound.listen().map(|listener| listener.with_proxies(Arc::clone(&proxies)));
        let listeners = bound.into_iter().map(listen);
        let listeners = listeners.collect::<Result<Vec<_>, _>>().map_err(AppError::failed)?;
        let certificates = means.keys.tls.clone();
        let gate = Arc::new(Gate::new(&config, means, trail.clone()));
        let (stop, stopped) = watch::channel(false);
        let keeping = Arc::clone(&gate);
        let keeping =
            tokio::spawn(async move { keeping.means.throttle.run(|cleared| keeping.trail.cleared(cleared)).await });
        let serving = up(&config, opening, listeners, control, Arc::clone(&gate), stopped, told);
        tokio::pin!(serving);
        let which = loop {
            tokio::select! {
                result = &mut serving => return result,
                _ = term.recv() => break "SIGTERM",
                _ = int.recv() => break "SIGINT",
                _ = hup.recv() => reload(certificates.clone()).await,
            }
        };
        tracing::info!(signal = which, "ends");
        stop.send_replace(true);
        // While the desktop is still being opened nothing has to be said goodbye to.
        let _ = tokio::time::timeout(LAST_MOMENT, &mut serving).await;
        keeping.abort();
        gate.means.throttle.save();
        Ok(())
    });
    // A thread that waits for a dead desktop must not hold up the end.
    runtime.shutdown_background();
    door.release();
    trail.flush();
    result
}

/// Loads the certificate anew, for connections to come. Waits for files, or for the process that reads them.
fn load(store: &CertificateStore) {
    match store.reload(SystemTime::now()) {
        Ok(facts) => tracing::info!(sha256 = facts.sha256, until = facts.not_after, "certificate loaded"),
        Err(error) => tracing::warn!(%error, "certificate not loaded"),
    }
}

/// Loads the certificate anew, off the network threads.
async fn reload(certificates: Option<Arc<CertificateStore>>) {
    let Some(store) = certificates else { return };
    if let Err(error) = tokio::task::spawn_blocking(move || load(&store)).await {
        tracing::error!(%error, "certificate not loaded");
    }
}

/// Loads the certificate into a process that holds keys in the place of one that ended.
fn renew(certificates: Option<&Arc<CertificateStore>>) -> impl Fn() + Send + Sync + 'static {
    // the store asks that process, and must not be kept by it
    let store = certificates.map(Arc::downgrade);
    move || {
        if let Some(store) = store.as_ref().and_then(Weak::upgrade) {
            load(&store);
        }
    }
}

async fn up(
    config: &Config,
    opening: Opening,
    listeners: Vec<Listener>,
    control: Option<control::Bound>,
    gate: Arc<Gate>,
    mut stopped: watch::Receiver<bool>,
    told: Told,
) -> Result<(), AppError> {
    let Opening { desktop, door, cores, early } = opening;
    let opener = door.opener();
    let (events, received) = mpsc::unbounded_channel();
    let options = clipboard(config);
    let waits = desktop.is_on_demand();
    let (capture, wanted) = (config.capture, gpu::wanted(&config.capture, &desktop));
    // shut in, none can be opened
    let spare = config.sandbox != crate::sandbox::Mode::Off;
    let stages = tokio::task::spawn_blocking(move || gpu::ready(&capture, wanted, spare)).await;
    let (stage, dma_bufs) = stages.map_err(AppError::failed)??;
    let backend = off_the_network(move || desktop.open(opener, options, dma_bufs, events)).await?;
    let name = backend.name();
    let lanes = Lanes::new(cores, config.encode.nice);
    let lanes = lanes.map_err(|e| AppError::Failed(format!("no threads to encode with: {e}")))?;
    let hub = Hub::start(backend, received, Arc::new(lanes), config.session.total_rate(), stage);
    if let Some(doorkeeper) = door.doorkeeper(config) {
        hub.set_doorkeeper(doorkeeper);
    }
    if let Some(lights) = door.lights() {
        hub.set_lighting(lights);
    }
    hub.set_log(Arc::new(gate.trail.clone()));
    if !waits {
        ready(&hub, &name).await?;
    }
    notify_ready(&name);
    early.enter_late().map_err(AppError::failed)?;

    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let common = config.session.settings(&format!("{host} {name}"), &config.network);
    let of_listener = |(id, l): (u32, &ListenerSection)| {
        let Ok(view) = l.view.parse();
        let others_off = l.others == Others::Off;
        let side_car = l.is_side_car().then(|| SideCar { id, size: l.size.unwrap_or_default().0 });
        Arc::new(session::Settings { view, others_off, side_car, scale: l.scale, ..common.clone() })
    };
    let settings = (0..).zip(&config.listeners).map(of_listener).collect();
    let handler = Arc::new(Sessions { gate, hub: Arc::clone(&hub), settings });
    let slots = Slots::new(usize::try_from(config.network.max_unauthenticated).unwrap_or(usize::MAX));
    let addresses: Vec<ListenAddr> = listeners.iter().map(|l| l.address().clone()).collect();
    let layout = hub.desktop().layout;
    if waits {
        tracing::info!("the desktop is started when the first client has been let in");
    } else {
        tracing::info!(
            source = %name, width = layout.size.w, height = layout.size.h, outputs = layout.outputs.len(), "desktop open"
        );
    }
    for (address, listener) in addresses.iter().zip(&config.listeners) {
        let security: Vec<&str> = config.offer(listener).iter().map(|k| k.name()).collect();
        tracing::info!(listener = %address, security = security.join(","), view_only = listener.view_only, "listening");
        if let Ok(view @ ViewSpec::Output(_)) = listener.view.parse()
            && !waits
            && !hub.shows(&view)
        {
            let there: Vec<&str> = layout.outputs.iter().map(|o| o.name.as_str()).collect();
            tracing::warn!(
                listener = %address, %view, there = there.join(","),
                "no monitor of that name now; clients are refused until there is"
            );
        }
        println!("farpane: listening on {address}");
    }
    {
        let lines = told.lines(config, &addresses);
        let mut out = std::io::stdout().lock();
        // whole lines stay in no buffer; whoever started this may have closed its end of the pipe, and sharing goes on
        let _ = out.flush().and_then(|()| out.write_all(lines.as_bytes())).and_then(|()| out.flush());
    }
    // from here on strangers talk to this process, which knows the passwords of this run no more than it has to
    let mut loops = JoinSet::new();
    if let Some(control) = control {
        loops.spawn(control.serve(Arc::clone(&hub), stopped.clone()));
    }
    for listener in listeners {
        let handler: Arc<dyn net::ConnectionHandler> = handler.clone();
        loops.spawn(net::serve(listener, slots.clone(), config.network.greeting_limit(), handler, stopped.clone()));
    }

    let _ = stopped.wait_for(|stop| *stop).await;
    hub.close_all("the server ends");
    while loops.join_next().await.is_some() {}
    Ok(())
}

/// Finds a desktop and opens it, off the network threads and in this process.
pub(super) async fn open(
    source: SourceSpec,
    clipboard: ClipboardOptions,
    events: backend::Events,
) -> Result<Arc<dyn Backend>, AppError> {
    let env = environment(clipboard);
    off_the_network(move || backend::open(&source, &env, events)).await
}

async fn off_the_network(
    open: impl FnOnce() -> Result<Arc<dyn Backend>, backend::OpenError> + Send + 'static,
) -> Result<Arc<dyn Backend>, AppError> {
    tokio::task::spawn_blocking(open).await.map_err(AppError::failed)?.map_err(cannot_open)
}

/// Waits until the desktop has told its outputs.
async fn ready(hub: &Hub, name: &str) -> Result<(), AppError> {
    let deadline = Instant::now() + READY;
    while !hub.is_ready() {
        if Instant::now() >= deadline {
            return Err(AppError::Failed(format!("{name} told no outputs within {} s", READY.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
