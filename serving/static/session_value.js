// A secret typed by the user: kept in this tab's sessionStorage only, never in a URL or log.

export class SessionValue {
  constructor(name) {
    this.name = name;
    this.value = "";
  }

  get() {
    try {
      return sessionStorage.getItem(this.name) ?? this.value;
    } catch {
      return this.value;
    }
  }

  set(value) {
    this.value = value;
    try {
      if (value) sessionStorage.setItem(this.name, value);
      else sessionStorage.removeItem(this.name);
    } catch {
      // With storage blocked the value lives until the next reload.
    }
  }
}
