// What the reader has chosen. It stands in the address behind "#", so that it can be kept and sent.

const NAMES = ["result", "actor", "event", "principal", "q", "from", "to", "log", "page", "entry"];

class State {
  constructor() {
    this.listeners = [];
    this.read();
    window.addEventListener("hashchange", () => {
      this.read();
      this.tell();
    });
  }

  read() {
    const given = new URLSearchParams(window.location.hash.slice(1));
    this.values = new Map(NAMES.filter((name) => given.get(name)).map((name) => [name, given.get(name)]));
  }

  get(name) {
    return this.values.get(name) ?? "";
  }

  // Change some values; "" takes one away. What is filtered otherwise is read from its first page.
  set(changes) {
    const filtered = Object.keys(changes).some((name) => name !== "page" && name !== "entry");
    for (const [name, value] of Object.entries(filtered ? { page: "", ...changes } : changes)) {
      if (value === "") this.values.delete(name);
      else this.values.set(name, String(value));
    }
    const text = new URLSearchParams([...this.values]).toString();
    window.history.replaceState(null, "", text === "" ? "#" : `#${text}`);
    this.tell();
  }

  toggle(name, value) {
    this.set({ [name]: this.get(name) === value ? "" : value });
  }

  get filters() {
    return NAMES.filter((name) => name !== "page" && name !== "entry" && name !== "log" && this.get(name) !== "");
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  tell() {
    for (const listener of this.listeners) listener();
  }
}

export const state = new State();
