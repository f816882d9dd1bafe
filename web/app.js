// The live page: lists and watches nodes, pods, services and endpoint slices through the public API, like any client.
// The token comes in the address' fragment (#token=...), which browsers never send to a server.

const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? sessionStorage.getItem('minisvc-token') ?? '';
if (token) sessionStorage.setItem('minisvc-token', token);

const kinds = {
  nodes: '/api/v1/nodes',
  pods: '/api/v1/pods',
  services: '/api/v1/services',
  slices: '/apis/discovery.k8s.io/v1/endpointslices',
};
const objects = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, new Map()]));
const health = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, 'connecting']));
const palette = new Set(['red', 'orange', 'yellow', 'green', 'blue', 'purple', 'brown', 'black', 'white', 'pink', 'cyan', 'magenta', 'gray', 'gold', 'teal']);

const id = (object) => `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
const byId = (a, b) => (id(a) < id(b) ? -1 : 1);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Lists a kind, then follows its watch; starts over when the watch ends or its revision is gone. */
async function follow(kind, path) {
  for (let wait = 250; ; wait = Math.min(wait * 2, 4000)) {
    try {
      const list = await (await ask(path)).json();
      objects[kind] = new Map(list.items.map((item) => [id(item), item]));
      tell(kind, 'live');
      wait = 250;
      await watch(kind, `${path}?watch=true&allowWatchBookmarks=true&resourceVersion=${list.metadata.resourceVersion}`);
    } catch (error) {
      tell(kind, error.message);
    }
    await pause(wait);
  }
}

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: 'application/json', ...(token && { Authorization: `Bearer ${token}` }) } });
  if (answer.status === 401 || answer.status === 403) throw new Error('not allowed: open the address that “minisvc status” prints');
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer;
}

async function watch(kind, path) {
  const reader = (await ask(path)).body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines.filter(Boolean)) {
      const { type, object } = JSON.parse(line);
      if (type === 'ERROR') return;
      if (type === 'DELETED') objects[kind].delete(id(object));
      else if (type !== 'BOOKMARK') objects[kind].set(id(object), object);
    }
    draw();
  }
}

function tell(kind, text) {
  health[kind] = text;
  const trouble = Object.values(health).find((state) => state !== 'live');
  const line = document.getElementById('state');
  line.textContent = trouble ?? 'live';
  line.className = trouble ? 'pending' : 'Running';
  draw();
}

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawServices();
    drawNodes();
  });
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const shown = (object) => document.getElementById('system').checked || !(object.metadata.namespace ?? '').startsWith('kube-');

function drawServices() {
  const slices = Map.groupBy
    ? Map.groupBy(objects.slices.values(), sliceService)
    : [...objects.slices.values()].reduce((map, s) => map.set(sliceService(s), [...(map.get(sliceService(s)) ?? []), s]), new Map());
  const rows = [...objects.services.values()].filter(shown).sort(byId).map((service) => {
    const { namespace, name } = service.metadata;
    const external = externalAddress(service);
    return element('tr', {},
      element('td', {}, namespace),
      element('td', {}, name),
      element('td', {}, service.spec.type),
      element('td', {}, service.spec.type === 'ExternalName' ? '<none>' : service.spec.clusterIP ?? ''),
      element('td', { class: external === '<pending>' ? 'pending' : '' }, external),
      element('td', {}, (service.spec.ports ?? []).map((p) => `${p.port}${p.nodePort ? `:${p.nodePort}` : ''}/${p.protocol}`).join(', ') || '<none>'),
      element('td', { class: 'endpoints' }, ...endpoints(slices.get(`${namespace}/${name}`) ?? [])));
  });
  document.getElementById('services').replaceChildren(...rows);
}

const sliceService = (slice) => `${slice.metadata.namespace}/${slice.metadata.labels?.['kubernetes.io/service-name']}`;

function externalAddress(service) {
  const { type, externalName, externalIPs = [] } = service.spec;
  if (type === 'ExternalName') return externalName;
  const balancers = (service.status?.loadBalancer?.ingress ?? []).map((i) => i.ip ?? i.hostname);
  const all = [...balancers, ...externalIPs];
  return all.join(', ') || (type === 'LoadBalancer' ? '<pending>' : '<none>');
}

function endpoints(slices) {
  const cells = slices.flatMap((slice) => (slice.endpoints ?? []).flatMap((endpoint) =>
    (slice.ports?.length ? slice.ports : [{}]).map((port) => {
      const text = `${endpoint.addresses[0]}${port.port ? `:${port.port}` : ''}`;
      return element('span', { class: endpoint.conditions?.ready === false ? 'not-ready' : '', title: endpoint.targetRef?.name ?? '' }, text);
    })));
  return cells.length ? cells : [element('span', { class: 'empty' }, '<none>')];
}

function drawNodes() {
  const pods = [...objects.pods.values()].filter(shown).sort(byId);
  const cards = [...objects.nodes.values()].sort(byId).map((node) => {
    const ready = node.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
    const address = node.status?.addresses?.find((a) => a.type === 'InternalIP')?.address ?? '';
    return card(node.metadata.name, ready ? address : `${address} NotReady`, ready, pods.filter((p) => p.spec.nodeName === node.metadata.name));
  });
  const homeless = pods.filter((pod) => !pod.spec.nodeName);
  if (homeless.length) cards.push(card('not scheduled', '', true, homeless));
  document.getElementById('nodes').replaceChildren(...cards);
}

function card(name, note, ready, pods) {
  const list = element('ul', { class: 'pods' }, ...pods.map((pod) => {
    const state = podState(pod);
    const color = pod.metadata.name.split('-')[0];
    const item = element('li', {},
      element('span', {}, pod.metadata.namespace === 'default' ? pod.metadata.name : id(pod)),
      element('small', {}, `${pod.status?.podIP ?? ''} `, element('span', { class: state }, state)));
    if (palette.has(color)) item.style.setProperty('--color', color);
    return item;
  }));
  return element('article', { class: 'node' },
    element('h3', { class: ready ? '' : 'NotReady' }, name, element('small', {}, note)),
    pods.length ? list : element('span', { class: 'empty' }, 'no pods'));
}

function podState(pod) {
  if (pod.metadata.deletionTimestamp) return 'Terminating';
  const waiting = (pod.status?.containerStatuses ?? []).map((c) => c.state?.waiting?.reason).find(Boolean);
  return waiting ?? pod.status?.phase ?? 'Pending';
}

document.getElementById('system').addEventListener('change', draw);
for (const [kind, path] of Object.entries(kinds)) follow(kind, path);
