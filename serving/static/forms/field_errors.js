// Errors of a form at the field that they are about: marked for assistive tools, and described.

export class FieldError extends Error {
  constructor(message, field) {
    super(message);
    this.field = field;
  }
}

const DESCRIBED = "aria-describedby";

// Takes the marks of an earlier error away; what else describes a field stays.
export function clearFieldErrors(form, errorId) {
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    const others = idsOf(field).filter((id) => id !== errorId);
    if (others.length) field.setAttribute(DESCRIBED, others.join(" "));
    else field.removeAttribute(DESCRIBED);
  }
}

export function markField(field, errorId) {
  field.setAttribute("aria-invalid", "true");
  field.setAttribute(DESCRIBED, [...idsOf(field), errorId].join(" "));
}

const idsOf = (field) => (field.getAttribute(DESCRIBED) ?? "").split(" ").filter(Boolean);

// The protocol names an input by its place in the request, which nobody sees in a form: the spec of
// the input, and the message without the place; null for an error about something else.
export function inputError(message, inputs) {
  const match = /^inputs\[(\d+)\](?:\.[a-z_]+(?:\[\d+\])*)?: (.*)$/s.exec(message);
  const spec = match && inputs[Number(match[1])];
  return spec ? { spec, text: match[2] } : null;
}
